#!/bin/sh
# kafka-run-class.sh CLASS ARGUMENT...
exec /opt/java/bin/java ${KAFKA_HEAP_OPTS:--Xmx256m} -Xshare:auto -Dlog4j2.configurationFile=/opt/kafka/config/log4j2.yaml \
    -cp '/opt/kafka/libs/*' "$@"
