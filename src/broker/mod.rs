//! The embedded MQTT broker: a front door around rumqttd's codecs, sessions, routing, and the record of every packet.
