#ifndef HOST_ARDUINO_ESP_H
#define HOST_ARDUINO_ESP_H

#include <stdint.h>

class EspClass {
 public:
  // Begins again with nothing but the flash memory.
  [[noreturn]] void restart();
  // The MAC address of the chip, its first byte the lowest.
  uint64_t getEfuseMac();
  // Of a board with 300 KiB, less what this process has allocated.
  uint32_t getFreeHeap();
};

extern EspClass ESP;

#endif
