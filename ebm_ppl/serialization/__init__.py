"""Model files: energies as data that any program may read, and never code."""

from ebm_ppl.serialization._energies import load_energy as load_energy
from ebm_ppl.serialization._energies import load_metadata as load_metadata
from ebm_ppl.serialization._energies import save_energy as save_energy
