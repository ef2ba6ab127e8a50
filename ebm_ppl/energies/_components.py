"""Directions in which data vary, turned so that each concerns few coordinates."""

import numpy as np
from jaxtyping import Float

_MOST_TURNS = 200
_TOLERANCE = 1e-9


def rotated_components(
    points: Float[np.ndarray, "num_points dim"], count: int
) -> Float[np.ndarray, "dim count"]:
    r"""Principal components, scaled by the data's standard deviation along them and turned by varimax.

    The turned components $L = A R$ maximise $\sum_k \operatorname{Var}_i(L_{ik}^2)$ over rotations $R$. Signs
    are such that the sum of cubes of each is positive, so the result depends on the data alone.

    Args:
        points: The data.
        count: Number of components, at most the smaller of both sizes of `points`.

    Returns:
        The components, one a column.
    """
    centred = points - points.mean(axis=0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    principal = directions[:count].T * (lengths[:count] / np.sqrt(len(points)))
    rotation = np.eye(count)
    total = 0.0
    for _ in range(_MOST_TURNS):
        turned = principal @ rotation
        slope = principal.T @ (turned**3 - turned * np.mean(turned**2, axis=0))
        left, singular, right = np.linalg.svd(slope)
        rotation = left @ right
        if singular.sum() <= total * (1 + _TOLERANCE):
            break
        total = singular.sum()
    turned = principal @ rotation
    return turned * np.where(np.sum(turned**3, axis=0) < 0, -1.0, 1.0)
