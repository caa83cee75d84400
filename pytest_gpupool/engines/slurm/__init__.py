"""SLURM: workers as jobs of their own, or within an allocation as its steps; each with an srun that passes its bytes.

``engine`` puts together what the user gave (``arguments``), what there is (``room``) and how srun is called
(``command_line``), and starts one ``link`` for each worker. SLURM's own programs are all that it asks (``client``);
of ``queue`` and ``endings`` come the words for people.
"""

__all__ = ["engine"]
