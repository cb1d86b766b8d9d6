# What takes long, or is for this project's own people. Everything else is a command of uv or shallop; see README.md.
# Each target is a few commands that can be run by themselves.

results := benchmarks/results
sizes := 1 100 1000 10000
seconds := 900
CUTS := 2000
OPTIONS :=

.PHONY: help planted model-check torture power-cuts power-cuts-planted benchmarks

help:
	@echo "make planted      plant known mistakes in copies of the source; the simulation must find each of them"
	@echo "make model-check  explore every way through small worlds of one robot and one cloud"
	@echo "make torture      real processes under faults, on both brokers, $(seconds) s each (seconds=N), checked afterwards"
	@echo "make power-cuts   cut the power of real file systems under the real agent, $(CUTS) times (CUTS=N); as root"
	@echo "make power-cuts-planted  plant mistakes about the disk; power cuts must find each of them; as root"
	@echo "make benchmarks   take all figures anew and make the tables of docs/performance.md (about half an hour)"

planted:
	uv run python tests/planted/run.py

model-check:
	uv run python tests/model_check.py

torture:
	uv run python tests/torture/run.py --broker mosquitto --seconds $(seconds)
	uv run python tests/torture/run.py --broker amqtt --seconds $(seconds)

power-cuts:
	uv run python tests/power/run.py --cuts $(CUTS) $(OPTIONS)

power-cuts-planted:
	uv run python tests/power/find_planted.py

benchmarks:
	mkdir -p $(results)
	for n in $(sizes); do uv run python benchmarks/deploy.py --robots $$n --broker mosquitto --json > $(results)/deploy-mosquitto-$$n.json || exit 1; done
	for n in 100 1000; do uv run python benchmarks/deploy.py --robots $$n --broker amqtt --json > $(results)/deploy-amqtt-$$n.json || exit 1; done
	for b in mosquitto amqtt; do uv run python benchmarks/latency.py --broker $$b --json > $(results)/latency-$$b.json || exit 1; done
	uv run python benchmarks/cold_start.py --robots 10000 --json > $(results)/cold-start.json
	uv run python benchmarks/growth.py --json > $(results)/growth.json
	for e in sqlite postgresql; do uv run python benchmarks/scale.py --engine $$e --json > $(results)/scale-$$e.json || exit 1; done
	uv run python benchmarks/footprint.py --json > $(results)/footprint.json
	uv run python benchmarks/footprint_agent.py --json > $(results)/footprint-agent.json
	uv run python benchmarks/idle_traffic.py --json > $(results)/idle-traffic.json
	uv run python benchmarks/peers.py --json > $(results)/peers.json
	uv run python benchmarks/table.py
