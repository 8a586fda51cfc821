.PHONY: setup fast check app

setup:
	pip install -r requirements-dev.txt
	pip install --no-deps -e .

# Under a minute on two cores.
fast:
	ruff check .
	ruff format --check .
	mypy
	pytest -m "not browser and not slow"

check:
	.ci/run

app:
	python app.py
