.PHONY: setup fast check app

setup:
	pip install -r requirements-dev.txt
	pip install --no-deps -e .

# About a minute on two cores.
fast: export OMP_NUM_THREADS = 1
fast:
	ruff check .
	ruff format --check .
	mypy
	biome lint --skip=complexity/noImportantStyles --diagnostic-level=error modelcraft/ui/components modelcraft/ui/browser
	pytest -n 2 -m "not browser and not slow"

check:
	.ci/run

app:
	python app.py
