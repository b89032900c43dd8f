#include "identity.h"

#include <Arduino.h>
#include <Preferences.h>
#include <esp_random.h>
#include <stdio.h>
#include <string.h>

#include "settings.h"

namespace shell {
namespace {

constexpr char uuid_key[] = "uuid";
constexpr size_t uuid_length = 36;

void write_mac(char* out, size_t capacity) {
  // The first byte of the MAC is the lowest. Read from the fuses, since WiFi tells it only once it has been started.
  const uint64_t mac = ESP.getEfuseMac();
  uint8_t bytes[6];
  for (size_t i = 0; i < sizeof(bytes); ++i) bytes[i] = static_cast<uint8_t>(mac >> (8 * i));
  snprintf(out, capacity, "%02x%02x%02x%02x%02x%02x", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]);
}

// RFC 9562, version 4.
void write_new_uuid(char* out, size_t capacity) {
  uint8_t b[16];
  esp_fill_random(b, sizeof(b));
  b[6] = static_cast<uint8_t>((b[6] & 0x0F) | 0x40);
  b[8] = static_cast<uint8_t>((b[8] & 0x3F) | 0x80);
  snprintf(out, capacity, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
           b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

void write_uuid(char* out, size_t capacity) {
  Preferences nvs;
  const bool opened = nvs.begin(Settings::nvs_namespace, false);
  if (opened && nvs.isKey(uuid_key)) nvs.getString(uuid_key, out, capacity);
  if (strlen(out) != uuid_length) {
    write_new_uuid(out, capacity);
    if (!opened || nvs.putString(uuid_key, out) != uuid_length) {
      Serial.println("identity: the UUID could not be kept in NVS; the next start makes another");
    }
  }
  if (opened) nvs.end();
}

}  // namespace

void Identity::begin(const char* setting) {
  if (strcmp(setting, "mac") == 0) {
    write_mac(id_, sizeof(id_));
  } else if (strcmp(setting, "uuid") == 0) {
    write_uuid(id_, sizeof(id_));
  } else {
    snprintf(id_, sizeof(id_), "%s", setting);
  }
}

}  // namespace shell
