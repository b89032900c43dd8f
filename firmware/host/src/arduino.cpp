// Arduino.h and the classes without a file of their own.
#include "Arduino.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>

#include <random>

#include "clock.h"
#include "commands.h"
#include "console.h"
#include "esp_random.h"
#include "options.h"
#include "pins.h"
#include "sound.h"

uint32_t millis() { return host::clock().millis(); }

uint32_t micros() { return static_cast<uint32_t>(host::clock().now_us()); }

void delay(uint32_t ms) { host::clock().wait(static_cast<uint64_t>(ms) * 1000); }

void yield() {}

void pinMode(uint8_t pin, uint8_t mode) {
  if (mode == INPUT_PULLUP) host::pins().set_button(pin);
}

void digitalWrite(uint8_t pin, uint8_t level) { host::pins().set_output(pin, level); }

int digitalRead(uint8_t pin) { return host::pins().level(pin); }

void rgbLedWrite(uint8_t pin, uint8_t red, uint8_t green, uint8_t blue) {
  host::pins().set_colour(pin, red, green, blue);
}

uint32_t esp_random() {
  static std::random_device device;
  return device();
}

void esp_fill_random(void* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) static_cast<uint8_t*>(bytes)[i] = static_cast<uint8_t>(esp_random());
}

size_t Print::write(const uint8_t* bytes, size_t size) {
  size_t written = 0;
  while (written < size && write(bytes[written]) == 1) ++written;
  return written;
}

size_t Print::printf(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char* text = nullptr;
  const int length = vasprintf(&text, format, arguments);
  va_end(arguments);
  if (length < 0) return 0;
  const size_t written = write(text, static_cast<size_t>(length));
  free(text);
  return written;
}

size_t Print::print(long value, int base) {
  if (base == DEC && value < 0) return print('-') + print(0UL - static_cast<unsigned long>(value));
  // As on the board, where a negative number in another base shows its 32 bits.
  return print(base == DEC ? static_cast<unsigned long>(value) : static_cast<uint32_t>(value), base);
}

size_t Print::print(unsigned long value, int base) {
  char text[24];
  const int length = snprintf(text, sizeof text, base == HEX ? "%lX" : "%lu", value);
  return write(text, static_cast<size_t>(length));
}

HardwareSerial Serial;

size_t HardwareSerial::setRxBufferSize(size_t bytes) {
  host::console().set_serial_buffer(bytes);
  return bytes;
}

size_t HardwareSerial::write(uint8_t byte) { return write(&byte, 1); }

size_t HardwareSerial::write(const uint8_t* bytes, size_t size) {
  host::console().serial_output(bytes, size);
  return size;
}

int HardwareSerial::available() { return static_cast<int>(host::console().serial_input().size()); }

int HardwareSerial::read() {
  const int byte = peek();
  if (byte >= 0) host::console().serial_input().pop_front();
  return byte;
}

int HardwareSerial::peek() {
  const auto& input = host::console().serial_input();
  return input.empty() ? -1 : input.front();
}

void HardwareSerial::flush() { host::console().flush(); }

EspClass ESP;

void EspClass::restart() { host::restart(); }

uint64_t EspClass::getEfuseMac() {
  uint64_t address = 0;
  for (size_t i = 6; i > 0; --i) address = address << 8 | host::options().mac[i - 1];
  return address;
}

uint32_t EspClass::getFreeHeap() {
  constexpr uint32_t heap_bytes = 300 * 1024;
  const size_t used = mallinfo2().uordblks;
  return used < heap_bytes ? heap_bytes - static_cast<uint32_t>(used) : 0;
}

bool IPAddress::fromString(const char* text) {
  in_addr parsed{};
  if (inet_pton(AF_INET, text, &parsed) != 1) return false;
  address_ = parsed.s_addr;
  return true;
}

String IPAddress::toString() const {
  char text[INET_ADDRSTRLEN];
  const in_addr address{address_};
  inet_ntop(AF_INET, &address, text, sizeof text);
  return String(text);
}
