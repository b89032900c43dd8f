#ifndef HOST_ARDUINO_PREFERENCES_H
#define HOST_ARDUINO_PREFERENCES_H

#include <stddef.h>
#include <stdint.h>

#include <string>

#include "WString.h"

// The settings in flash memory (NVS): here the file of --nvs. The real limits hold: names of 1 to 15 characters,
// strings of at most 3,999 bytes.
class Preferences {
 public:
  bool begin(const char* name, bool read_only = false);
  void end() { open_ = false; }
  bool clear();
  bool remove(const char* key);
  bool isKey(const char* key);

  size_t putBool(const char* key, bool value) { return putUChar(key, value ? 1 : 0); }
  size_t putUChar(const char* key, uint8_t value) { return put(key, "u8", std::to_string(value), 1); }
  size_t putUShort(const char* key, uint16_t value) { return put(key, "u16", std::to_string(value), 2); }
  size_t putUInt(const char* key, uint32_t value) { return put(key, "u32", std::to_string(value), 4); }
  size_t putString(const char* key, const char* value);
  size_t putString(const char* key, const String& value) { return putString(key, value.c_str()); }

  bool getBool(const char* key, bool fallback = false) { return getUChar(key, fallback ? 1 : 0) != 0; }
  uint8_t getUChar(const char* key, uint8_t fallback = 0) { return static_cast<uint8_t>(number(key, "u8", fallback)); }
  uint16_t getUShort(const char* key, uint16_t fallback = 0) {
    return static_cast<uint16_t>(number(key, "u16", fallback));
  }
  uint32_t getUInt(const char* key, uint32_t fallback = 0) { return number(key, "u32", fallback); }
  String getString(const char* key, const String& fallback = String());
  // Copies it with its closing NUL; 0 when it is missing or does not fit.
  size_t getString(const char* key, char* value, size_t capacity);

 private:
  size_t put(const char* key, const char* type, const std::string& value, size_t size);
  uint32_t number(const char* key, const char* type, uint32_t fallback);

  std::string name_;
  bool open_ = false;
  bool read_only_ = false;
};

#endif
