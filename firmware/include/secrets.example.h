// Copy this file to secrets.h (git ignores it), fill it in, and build. Every line may be left out: what is missing can
// be set over the serial line ("help" there), and what is set there wins over what is built in here.
#ifndef VOICE_SECRETS_H
#define VOICE_SECRETS_H

#define VOICE_WIFI_SSID "your network, 2.4 GHz"
#define VOICE_WIFI_PASSWORD "its password"

#define VOICE_MQTT_HOST "192.168.1.10"
#define VOICE_MQTT_PORT 1883
#define VOICE_MQTT_USER ""
#define VOICE_MQTT_PASSWORD ""

// "mac", "uuid" (made at the first start and kept), or a name of your own: 1 to 64 of A-Z a-z 0-9 _ - : .
#define VOICE_DEVICE_ID "mac"
#define VOICE_DEVICE_NAME "Kitchen"

// es, en, ...; "" is the gateway's own.
#define VOICE_LANGUAGE ""

// "push": speak while the button is held. "hands-free": speak.
#define VOICE_MODE "push"

// As the gateway's root_topic.
#define VOICE_ROOT_TOPIC "voice"

#endif
