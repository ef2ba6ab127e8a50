"""`python -m ebm_ppl` does what `ebm-ppl` does."""

from ebm_ppl.cli import main

if __name__ == "__main__":
    main(prog_name="python -m ebm_ppl")
