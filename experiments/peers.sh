#!/bin/sh
# How do other engines compare? Writes measurements, a report and a plot into a new folder; arguments are passed on.
exec "${BERGMILL:-bergmill}" experiment peers --out "peers-$(date +%Y%m%d-%H%M%S)" "$@"
