#!/bin/sh
# What do 8 workers gain over 4? Writes measurements, a report and plots into a new folder; arguments are passed on.
exec "${BERGMILL:-bergmill}" experiment workers --workers 1,2,4,8 --out "workers-$(date +%Y%m%d-%H%M%S)" "$@"
