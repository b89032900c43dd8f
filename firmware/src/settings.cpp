#include "settings.h"

#include <Preferences.h>
#include <stdlib.h>
#include <string.h>

#include "voice_core/topics.h"

#if __has_include("secrets.h")
#include "secrets.h"
#endif
#ifndef VOICE_WIFI_SSID
#define VOICE_WIFI_SSID ""
#endif
#ifndef VOICE_WIFI_PASSWORD
#define VOICE_WIFI_PASSWORD ""
#endif
#ifndef VOICE_MQTT_HOST
#define VOICE_MQTT_HOST ""
#endif
#ifndef VOICE_MQTT_PORT
#ifdef VOICE_TLS
#define VOICE_MQTT_PORT 8883
#else
#define VOICE_MQTT_PORT 1883
#endif
#endif
#ifndef VOICE_MQTT_USER
#define VOICE_MQTT_USER ""
#endif
#ifndef VOICE_MQTT_PASSWORD
#define VOICE_MQTT_PASSWORD ""
#endif
#ifndef VOICE_DEVICE_ID
#define VOICE_DEVICE_ID "mac"
#endif
#ifndef VOICE_DEVICE_NAME
#define VOICE_DEVICE_NAME ""
#endif
#ifndef VOICE_LANGUAGE
#define VOICE_LANGUAGE ""
#endif
#ifndef VOICE_MODE
#define VOICE_MODE "push"
#endif
#ifndef VOICE_ROOT_TOPIC
#define VOICE_ROOT_TOPIC "voice"
#endif

#define VOICE_TEXT_OF(value) #value
#define VOICE_AS_TEXT(value) VOICE_TEXT_OF(value)

namespace shell {
namespace {

bool up_to(const char* value, size_t length) { return strlen(value) <= length; }
bool is_ssid(const char* value) { return up_to(value, 32); }
bool is_text(const char* value) { return up_to(value, 64); }
bool is_port(const char* value) {
  if (*value == '\0' || strspn(value, "0123456789") != strlen(value) || !up_to(value, 5)) return false;
  const long port = strtol(value, nullptr, 10);
  return port >= 1 && port <= 65535;
}
bool is_language(const char* value) {
  return up_to(value, 8) && strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") == strlen(value);
}
bool is_mode(const char* value) { return strcmp(value, "push") == 0 || strcmp(value, "hands-free") == 0; }

constexpr Field fields[Settings::count] = {
    {"wifi_ssid", VOICE_WIFI_SSID, false, is_ssid, "at most 32 characters"},
    {"wifi_password", VOICE_WIFI_PASSWORD, true, is_text, "at most 64 characters; nothing for an open network"},
    {"mqtt_host", VOICE_MQTT_HOST, false, is_text, "a name or an IP address, at most 64 characters"},
    {"mqtt_port", VOICE_AS_TEXT(VOICE_MQTT_PORT), false, is_port, "1 to 65535"},
    {"mqtt_user", VOICE_MQTT_USER, false, is_text, "at most 64 characters"},
    {"mqtt_password", VOICE_MQTT_PASSWORD, true, is_text, "at most 64 characters"},
    {"id", VOICE_DEVICE_ID, false, voice::valid_device_id, "mac, uuid, or 1 to 64 of A-Z a-z 0-9 _ - : ."},
    {"name", VOICE_DEVICE_NAME, false, is_text, "at most 64 characters"},
    {"language", VOICE_LANGUAGE, false, is_language, "es, en, ...; nothing for the gateway's own"},
    {"mode", VOICE_MODE, false, is_mode, "push or hands-free"},
    {"root", VOICE_ROOT_TOPIC, false, voice::valid_root, "the gateway's root topic, at most 64 characters"},
};

}  // namespace

const Field& Settings::field(Key key) { return fields[static_cast<size_t>(key)]; }

bool Settings::find(const char* name, Key& key) {
  for (size_t i = 0; i < count; ++i) {
    if (strcmp(fields[i].name, name) == 0) {
      key = static_cast<Key>(i);
      return true;
    }
  }
  return false;
}

bool Settings::set(Key key, const char* value) {
  if (!field(key).valid(value)) return false;
  char* stored = values_[static_cast<size_t>(key)];
  strncpy(stored, value, sizeof(values_[0]) - 1);
  stored[sizeof(values_[0]) - 1] = '\0';
  return true;
}

void Settings::load() {
  Preferences nvs;
  // Read-only fails on a board that has never been told anything.
  const bool opened = nvs.begin(nvs_namespace, true);
  for (size_t i = 0; i < count; ++i) {
    char value[sizeof(values_[0])] = "";
    const Key key = static_cast<Key>(i);
    const bool kept = opened && nvs.isKey(fields[i].name);
    if (kept) nvs.getString(fields[i].name, value, sizeof(value));
    if (!kept || !set(key, value)) set(key, fields[i].built_in);
  }
  if (opened) nvs.end();
}

bool Settings::save() const {
  Preferences nvs;
  if (!nvs.begin(nvs_namespace, false)) return false;
  bool done = true;
  for (size_t i = 0; i < count; ++i) {
    const char* name = fields[i].name;
    if (strcmp(values_[i], fields[i].built_in) == 0) {
      if (nvs.isKey(name)) done = nvs.remove(name) && done;
    } else {
      // An empty value is kept too: it overrides one that was built in. putString says 0 for it and for a failure.
      const size_t written = nvs.putString(name, values_[i]);
      done = (written > 0 || values_[i][0] == '\0') && done;
    }
  }
  nvs.end();
  return done;
}

void Settings::factory_reset() {
  Preferences nvs;
  if (!nvs.begin(nvs_namespace, false)) return;
  nvs.clear();
  nvs.end();
}

uint16_t Settings::mqtt_port() const { return static_cast<uint16_t>(strtol(get(Key::MqttPort), nullptr, 10)); }

bool Settings::hands_free() const { return strcmp(get(Key::Mode), "hands-free") == 0; }

}  // namespace shell
