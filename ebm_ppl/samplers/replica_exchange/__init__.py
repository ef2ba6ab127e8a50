"""Replica exchange: a ladder of laws from one that can be drawn from to the target, over any kernel."""

from ebm_ppl.samplers.replica_exchange.kernel import ReplicaExchange as ReplicaExchange
from ebm_ppl.samplers.replica_exchange.levels import OwnLevels as OwnLevels
from ebm_ppl.samplers.replica_exchange.state import ReplicaExchangeState as ReplicaExchangeState
from ebm_ppl.samplers.replica_exchange.tempering import PathTempering as PathTempering
