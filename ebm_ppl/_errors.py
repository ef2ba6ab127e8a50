"""Exceptions that name what is wrong: with a density, with training, with a file, or elsewhere."""


class NotNormalizableError(ValueError):
    """The integral of exp(-E) over the support diverges, or its mass lies beyond what floats reach."""


class NonFiniteEnergyError(ValueError):
    """The energy is NaN or minus infinity at a point of the support that carries mass."""


class DoublyIntractableError(ValueError):
    r"""Parameters of an energy are random, but its $\log Z(\theta)$ is not known."""

    def __init__(self, energy_name: str) -> None:
        super().__init__(
            f"The parameters of {energy_name} depend on values that JAX traces: random ones of a model, "
            "optimised ones, or arguments of a compiled function, which look alike. If nothing random or "
            "optimised reaches them, make the energy outside of that function, or say log_z=0.0. If it "
            "does, `log_prob` needs log Z(theta), and `log_z` is None; leaving it out would give a wrong "
            "posterior. Ways out: log_z=QuadratureNormalizer(...) for one or two coordinates; a callable "
            "energy -> log Z where it has a closed form or can be enumerated; a kernel with auxiliary draws, "
            "such as the exchange algorithm. If Z does not depend on the parameters, say so with log_z=0.0."
        )


class UnreadableFileError(ValueError):
    """A file that someone else may have written is not what it was to be, or asks for more than it may."""


class ProcessFailedError(RuntimeError):
    """Another process of the same run has failed, and ended it.

    Attributes:
        process_index: Number of the process.
    """

    def __init__(self, process_index: int, name: str, failure: str) -> None:
        super().__init__(f"Process {process_index} has ended `{name}` on all: {failure}")
        self.process_index = process_index


class TrainingDivergedError(ArithmeticError):
    """Training met one thing after another that was not finite.

    Attributes:
        state: The state of the fit, with the last finite parameters.
    """

    def __init__(self, message: str, state: object) -> None:
        super().__init__(message)
        self.state = state
