"""What people do with energies: find anomalies, predict, restore, compare points, and judge draws."""

from ebm_ppl.tasks.anomaly import anomaly_score as anomaly_score
from ebm_ppl.tasks.classifier_two_sample import ClassifierTest as ClassifierTest
from ebm_ppl.tasks.classifier_two_sample import (
    classifier_two_sample_test as classifier_two_sample_test,
)
from ebm_ppl.tasks.comparison import log_density_ratio as log_density_ratio
from ebm_ppl.tasks.conformal import FalseAlarmRate as FalseAlarmRate
from ebm_ppl.tasks.conformal import conformal_p_values as conformal_p_values
from ebm_ppl.tasks.conformal import conformal_threshold as conformal_threshold
from ebm_ppl.tasks.conformal import false_alarm_rate as false_alarm_rate
from ebm_ppl.tasks.frechet import FrechetDistance as FrechetDistance
from ebm_ppl.tasks.frechet import frechet_distance as frechet_distance
from ebm_ppl.tasks.kernel_two_sample import KernelTest as KernelTest
from ebm_ppl.tasks.kernel_two_sample import kernel_two_sample_test as kernel_two_sample_test
from ebm_ppl.tasks.manifolds import PrecisionRecall as PrecisionRecall
from ebm_ppl.tasks.manifolds import precision_recall as precision_recall
from ebm_ppl.tasks.prediction import Prediction as Prediction
from ebm_ppl.tasks.prediction import predict as predict
from ebm_ppl.tasks.regression import Regression as Regression
from ebm_ppl.tasks.regression import regress as regress
from ebm_ppl.tasks.restoration import Restoration as Restoration
from ebm_ppl.tasks.restoration import RestorationModel as RestorationModel
from ebm_ppl.tasks.restoration import restoration_model as restoration_model
from ebm_ppl.tasks.restoration import restore as restore
