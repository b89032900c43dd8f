// The Arduino core for ESP32 as the firmware uses it, on Linux. Names and meanings are the real ones; what is not here,
// the firmware does not use.
#ifndef HOST_ARDUINO_H
#define HOST_ARDUINO_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "Esp.h"
#include "HardwareSerial.h"
#include "IPAddress.h"
#include "Print.h"
#include "Stream.h"
#include "WString.h"

using std::max;
using std::min;

typedef bool boolean;

#define LOW 0x0
#define HIGH 0x1
#define INPUT 0x01
#define OUTPUT 0x03
#define INPUT_PULLUP 0x05

#define PROGMEM
#define PGM_P const char*
#define pgm_read_byte_near(address) (*reinterpret_cast<const uint8_t*>(address))

// Since the start. The board's unsigned long, which these are there, has 32 bits; here uint32_t has, and a difference
// kept in an unsigned long is wrong once, when they run over.
uint32_t millis();
uint32_t micros();
void delay(uint32_t ms);
void yield();

void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t level);
int digitalRead(uint8_t pin);
// The addressable LED of a board.
void rgbLedWrite(uint8_t pin, uint8_t red, uint8_t green, uint8_t blue);

// The program.
void setup();
void loop();

#endif
