// What the device is told: from include/secrets.h when it was built, or over serial, kept in NVS. NVS wins.
#ifndef VOICE_SHELL_SETTINGS_H
#define VOICE_SHELL_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

namespace shell {

enum class Key : uint8_t {
  WifiSsid,
  WifiPassword,
  MqttHost,
  MqttPort,
  MqttUser,
  MqttPassword,
  Id,
  Name,
  Language,
  Mode,
  Root,
  Count,
};

struct Field {
  const char* name;      // on the console and in NVS (at most 15 characters there)
  const char* built_in;  // from secrets.h, or the default
  bool secret;
  bool (*valid)(const char* value);
  const char* allowed;  // in words, for the console
};

class Settings {
 public:
  static constexpr char nvs_namespace[] = "voice";
  static constexpr size_t count = static_cast<size_t>(Key::Count);

  // Reads NVS; what is not there, or no longer valid, comes from the build.
  void load();
  // Writes what differs from the build into NVS. False: it is full or broken.
  bool save() const;
  // Forgets everything that was set over serial, a UUID that was made included.
  void factory_reset();

  static const Field& field(Key key);
  // False: there is no setting of that name.
  static bool find(const char* name, Key& key);

  // Never null; "" is not set.
  const char* get(Key key) const { return values_[static_cast<size_t>(key)]; }
  // In RAM only, until save(). False: the value is not allowed, and nothing has changed.
  bool set(Key key, const char* value);

  uint16_t mqtt_port() const;
  bool hands_free() const;

 private:
  char values_[count][65] = {};
};

}  // namespace shell

#endif
