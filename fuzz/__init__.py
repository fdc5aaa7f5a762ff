"""Coverage-guided fuzzing of what reads pictures: see docs/pictures.md, "Corpus and fuzzing"."""
