#ifndef HOST_ARDUINO_HARDWARESERIAL_H
#define HOST_ARDUINO_HARDWARESERIAL_H

#include "Stream.h"

// The serial console: standard input and output.
class HardwareSerial : public Stream {
 public:
  void begin(unsigned long) {}
  size_t setRxBufferSize(size_t bytes);
  void setDebugOutput(bool) {}
  operator bool() const { return true; }
  using Print::write;
  size_t write(uint8_t byte) override;
  size_t write(const uint8_t* bytes, size_t size) override;
  int available() override;
  int read() override;
  int peek() override;
  void flush() override;
};

extern HardwareSerial Serial;

#endif
