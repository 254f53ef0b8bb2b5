#!/bin/sh
# What does another sort order gain? Writes measurements, a report and plots into a new folder; arguments are passed on.
exec "${BERGMILL:-bergmill}" experiment sort-order --out "sort-order-$(date +%Y%m%d-%H%M%S)" "$@"
