// What the core needs of the board: each port is a few calls that the shell implements. None of them blocks.
#ifndef VOICE_CORE_PORTS_H
#define VOICE_CORE_PORTS_H

#include <stddef.h>
#include <stdint.h>

namespace voice {

// Mono samples, signed 16-bit, at config::mic_rate.
class Microphone {
 public:
  // Begins recording, with nothing kept from before. False: the hardware refused.
  virtual bool start() = 0;
  virtual void stop() = 0;
  // Takes up to `capacity` samples that have been recorded; returns how many, 0 when there are none yet.
  virtual size_t read(int16_t* samples, size_t capacity) = 0;

 protected:
  ~Microphone() = default;
};

// Mono samples, signed 16-bit.
class Speaker {
 public:
  // Begins playing at `rate` Hz. Also changes the rate of a speaker that plays.
  virtual void start(uint32_t rate) = 0;
  // Queues samples; returns how many there was room for.
  virtual size_t write(const int16_t* samples, size_t count) = 0;
  // Samples written and not heard yet.
  virtual size_t queued() = 0;
  // Silence now: what is queued is dropped.
  virtual void stop() = 0;

 protected:
  ~Speaker() = default;
};

// What one call of Mp3Decoder::decode did.
struct Decoded {
  size_t consumed;  // bytes of the input that are done with
  size_t samples;   // samples written, 0 to config::decoder_samples
  uint32_t rate;    // Hz of those samples
};

class Mp3Decoder {
 public:
  // Forgets the stream: the next byte begins another.
  virtual void reset() = 0;
  // Decodes at most one MP3 frame of `data` into `samples` (room for config::decoder_samples, mono). Garbage is
  // skipped: consumed without samples. Nothing consumed and no samples: it needs more data.
  virtual Decoded decode(const uint8_t* data, size_t size, int16_t* samples) = 0;

 protected:
  ~Mp3Decoder() = default;
};

// The MQTT client.
class Link {
 public:
  virtual bool connected() = 0;
  // Publishes at QoS 0. False: nothing was sent, try again later.
  virtual bool publish(const char* topic, const uint8_t* payload, size_t size, bool retained) = 0;

 protected:
  ~Link() = default;
};

}  // namespace voice

#endif
