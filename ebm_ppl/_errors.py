"""Exceptions that name what is wrong with a density; all of them are `ValueError`s."""


class NotNormalizableError(ValueError):
    """The integral of exp(-E) over the support diverges, or its mass lies beyond what floats reach."""


class NonFiniteEnergyError(ValueError):
    """The energy is NaN or minus infinity at a point of the support that carries mass."""


class DoublyIntractableError(ValueError):
    r"""Parameters of an energy are random, but its $\log Z(\theta)$ is not known."""

    def __init__(self, energy_name: str) -> None:
        super().__init__(
            f"The parameters of {energy_name} are traced by JAX (random in a model, or optimised), so "
            "`log_prob` needs log Z(theta), and `log_z` is None. Leaving it out would give a wrong "
            "posterior. Ways out: log_z=QuadratureNormalizer(...) for one or two coordinates; a callable "
            "energy -> log Z where it has a closed form or can be enumerated; a kernel with auxiliary "
            "draws, such as the exchange algorithm. If Z does not depend on the parameters, say so with "
            "log_z=0.0."
        )


class TrainingDivergedError(ArithmeticError):
    """Training met one thing after another that was not finite.

    Attributes:
        state: The state of the fit, with the last finite parameters.
    """

    def __init__(self, message: str, state: object) -> None:
        super().__init__(message)
        self.state = state
