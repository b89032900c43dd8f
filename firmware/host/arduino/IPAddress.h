#ifndef HOST_ARDUINO_IPADDRESS_H
#define HOST_ARDUINO_IPADDRESS_H

#include <stdint.h>

#include "WString.h"

// An IPv4 address. As a number its first byte is the lowest, as in the real core.
class IPAddress {
 public:
  IPAddress() = default;
  IPAddress(uint32_t address) : address_(address) {}
  IPAddress(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
      : address_(static_cast<uint32_t>(a) | static_cast<uint32_t>(b) << 8 | static_cast<uint32_t>(c) << 16 |
                 static_cast<uint32_t>(d) << 24) {}

  bool fromString(const char* text);
  String toString() const;
  operator uint32_t() const { return address_; }
  uint8_t operator[](int index) const { return static_cast<uint8_t>(address_ >> 8 * index); }

 private:
  uint32_t address_ = 0;
};

#endif
