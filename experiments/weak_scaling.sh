#!/bin/sh
# Do 8 workers do 8 times the work in the time of one? Writes measurements, a report and plots into a new folder.
exec "${BERGMILL:-bergmill}" experiment workers --scaling weak --out "weak-scaling-$(date +%Y%m%d-%H%M%S)" "$@"
