// The ports of the core in virtual time, and what a gateway and a person do to a device.
#ifndef VOICE_TEST_FAKES_H
#define VOICE_TEST_FAKES_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "voice_core/node.h"

using Bytes = std::vector<uint8_t>;

// Records what `sound` says of each moment (a sample number since the world began), into a DMA buffer that forgets the
// oldest when nobody reads it.
class FakeMicrophone : public voice::Microphone {
 public:
  static constexpr size_t dma_samples = voice::config::mic_rate * 160 / 1000;

  std::function<int16_t(uint64_t)> sound = [](uint64_t) { return int16_t{0}; };
  bool broken = false;
  bool on = false;
  unsigned starts = 0;

  bool start() override {
    if (broken) return false;
    recorded_.clear();
    on = true;
    ++starts;
    return true;
  }
  void stop() override { on = false; }
  size_t read(int16_t* samples, size_t capacity) override {
    const size_t count = std::min(capacity, recorded_.size());
    std::copy_n(recorded_.begin(), count, samples);
    recorded_.erase(recorded_.begin(), recorded_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }

  void advance(uint32_t ms) {
    for (uint32_t i = 0; i < ms * voice::config::mic_rate / 1000; ++i, ++position_) {
      if (!on) continue;
      recorded_.push_back(sound(position_));
      if (recorded_.size() > dma_samples) recorded_.pop_front();
    }
  }
  uint64_t position() const { return position_; }

 private:
  std::deque<int16_t> recorded_;
  uint64_t position_ = 0;
};

// An "MP3 frame" of the fake decoder: 24 ms in 96 bytes, which is 32 kbit/s, with a name that can be heard.
namespace mp3 {

constexpr size_t frame_bytes = 96;
constexpr size_t frame_samples = 576;
constexpr uint32_t frame_ms = 24;
constexpr uint32_t rate = 24000;
constexpr int16_t marker = 32000;  // louder than any tone

struct Name {
  uint16_t turn;
  uint16_t number;
  bool operator==(const Name& other) const { return turn == other.turn && number == other.number; }
};

inline Bytes frame(Name name) {
  Bytes made(frame_bytes, 0);
  made[0] = 0xA5;
  made[1] = 0x5A;
  memcpy(&made[2], &name.turn, 2);
  memcpy(&made[4], &name.number, 2);
  return made;
}

// `count` frames from number `first` on.
inline Bytes frames(uint16_t turn, uint16_t first, uint16_t count) {
  Bytes made;
  for (uint16_t i = 0; i < count; ++i) {
    const Bytes each = frame({turn, static_cast<uint16_t>(first + i)});
    made.insert(made.end(), each.begin(), each.end());
  }
  return made;
}

}  // namespace mp3

// Takes in what it is given at once, as a decoder with a buffer of its own does, or (`greedy` false) waits for whole
// frames. Skips what is none.
class FakeDecoder : public voice::Mp3Decoder {
 public:
  bool greedy = true;
  uint32_t rate = mp3::rate;
  unsigned resets = 0;

  void reset() override {
    kept_.clear();
    ++resets;
  }
  voice::Decoded decode(const uint8_t* data, size_t size, int16_t* samples) override {
    size_t consumed = 0;
    if (greedy) {
      while (consumed < size && !whole(kept_.data(), kept_.size())) {
        kept_.push_back(data[consumed++]);
        resynchronise();
      }
      if (!whole(kept_.data(), kept_.size())) return {consumed, 0, 0};
      write(kept_.data(), samples);
      kept_.clear();
      return {consumed, mp3::frame_samples, rate};
    }
    while (consumed < size && data[consumed] != 0xA5) ++consumed;
    if (consumed > 0) return {consumed, 0, 0};
    if (size >= 2 && data[1] != 0x5A) return {1, 0, 0};
    if (size < mp3::frame_bytes) return {0, 0, 0};
    write(data, samples);
    return {mp3::frame_bytes, mp3::frame_samples, rate};
  }

 private:
  static bool whole(const uint8_t*, size_t size) { return size >= mp3::frame_bytes; }
  void resynchronise() {
    while (!kept_.empty() && (kept_[0] != 0xA5 || (kept_.size() > 1 && kept_[1] != 0x5A))) kept_.erase(kept_.begin());
  }
  static void write(const uint8_t* frame, int16_t* samples) {
    std::fill_n(samples, mp3::frame_samples, int16_t{0});
    samples[0] = mp3::marker;
    memcpy(&samples[1], frame + 2, 4);
  }

  Bytes kept_;
};

// Plays in virtual time out of a DMA buffer of 160 ms, and writes down what was heard: the MP3 frames heard to their
// end, by name, and how many samples of anything else than silence.
class FakeSpeaker : public voice::Speaker {
 public:
  std::vector<mp3::Name> heard;
  std::vector<mp3::Name> begun;
  uint64_t tone_samples = 0;
  uint64_t heard_samples = 0;
  int16_t loudest = 0;
  bool stuck = false;
  bool rate_changed_while_playing = false;
  uint32_t rate = 0;
  std::function<void(const mp3::Name&)> on_begun;

  void start(uint32_t new_rate) override {
    if (new_rate != rate && !queue_.empty()) rate_changed_while_playing = true;
    rate = new_rate;
  }
  size_t write(const int16_t* samples, size_t count) override {
    const size_t capacity = rate * 160 / 1000;
    const size_t room = capacity > queue_.size() ? capacity - queue_.size() : 0;
    const size_t taken = std::min(room, count);
    queue_.insert(queue_.end(), samples, samples + taken);
    return taken;
  }
  size_t queued() override { return queue_.size(); }
  void stop() override {
    queue_.clear();
    position_ = mp3::frame_samples;
  }

  void advance(uint32_t ms) {
    if (stuck) return;
    const size_t due = std::min<size_t>(rate * ms / 1000, queue_.size());
    for (size_t i = 0; i < due; ++i) play(queue_[i]);
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(due));
    heard_samples += due;
  }

 private:
  void play(int16_t sample) {
    loudest = std::max(loudest, sample);
    if (position_ >= mp3::frame_samples) {
      if (sample != mp3::marker) {
        if (sample != 0) ++tone_samples;
        return;
      }
      position_ = 0;
    }
    if (position_ == 1) memcpy(&name_.turn, &sample, 2);
    if (position_ == 2) {
      memcpy(&name_.number, &sample, 2);
      begun.push_back(name_);
      if (on_begun) on_begun(name_);
    }
    if (++position_ == mp3::frame_samples) heard.push_back(name_);
  }

  std::deque<int16_t> queue_;
  size_t position_ = mp3::frame_samples;
  mp3::Name name_{};
};

struct Published {
  std::string topic;
  Bytes payload;
  bool retained;
  uint32_t at;

  std::string text() const { return std::string(payload.begin(), payload.end()); }
};

// Takes what is published, or refuses it while `refuses`.
class FakeLink : public voice::Link {
 public:
  bool refuses = false;
  uint32_t now = 0;
  std::vector<Published> published;

  bool connected() override { return !refuses; }
  bool publish(const char* topic, const uint8_t* payload, size_t size, bool retained) override {
    if (refuses) return false;
    published.push_back({topic, Bytes(payload, payload + size), retained, now});
    return true;
  }
};

// A message on `out`.
inline Bytes reply_frame(uint16_t turn, uint16_t seq, uint8_t flags, const Bytes& audio,
                         voice::Codec codec = voice::Codec::Mp3) {
  voice::FrameHeader header;
  header.turn = turn;
  header.seq = seq;
  header.flags = flags;
  header.codec = codec;
  header.rate = 24000;
  Bytes made(voice::frame_header_size);
  voice::encode_header(header, made.data());
  made.insert(made.end(), audio.begin(), audio.end());
  return made;
}

// A reply of `chunks` messages of `per_chunk` MP3 frames each; the last carries END.
inline std::vector<Bytes> reply(uint16_t turn, uint16_t chunks, uint16_t per_chunk = 10) {
  std::vector<Bytes> made;
  for (uint16_t i = 0; i < chunks; ++i) {
    const unsigned flags = (i == 0 ? voice::flag::start : 0U) | (i + 1 == chunks ? voice::flag::end : 0U);
    made.push_back(reply_frame(turn, i, static_cast<uint8_t>(flags),
                               mp3::frames(turn, static_cast<uint16_t>(i * per_chunk), per_chunk)));
  }
  return made;
}

inline voice::Frame frame_of(const Bytes& payload) {
  voice::Frame frame;
  voice::decode_frame(payload.data(), payload.size(), frame);
  return frame;
}

// A device in its surroundings. Time goes on in steps of `step_ms`, each with one tick.
class World {
 public:
  static constexpr uint32_t step_ms = 5;

  explicit World(uint32_t start = 1000) : node(microphone, speaker, decoder, link), now(start) { link.now = start; }

  voice::NodeOptions options() const {
    voice::NodeOptions made;
    made.device_id = "a4cf128b3f9e";
    return made;
  }
  bool begin() { return begin(options()); }
  bool begin(const voice::NodeOptions& chosen) { return node.begin(chosen, now); }
  void begin_linked() {
    begin();
    link_up();
  }

  void run(uint32_t ms) {
    for (uint32_t passed = 0; passed < ms; passed += step_ms) {
      now += step_ms;
      link.now = now;
      speaker.advance(step_ms);
      microphone.advance(step_ms);
      node.tick(now);
    }
  }
  // Runs until the node is in `state`; false if it is not within `limit_ms`.
  bool run_until(voice::State state, uint32_t limit_ms) {
    for (uint32_t passed = 0; node.state() != state; passed += step_ms) {
      if (passed >= limit_ms) return false;
      run(step_ms);
    }
    return true;
  }

  void link_up(int8_t rssi = 0) {
    link.refuses = false;
    node.link_up(now, rssi);
  }
  void link_down() {
    link.refuses = true;
    node.link_down(now);
  }
  void press() { node.press(now); }
  void release() { node.release(now); }
  // Speaks for `ms` and lets go; returns the turn.
  uint16_t ask(uint32_t ms = 1000) {
    press();
    run(ms);
    release();
    return last_turn();
  }
  void send(const Bytes& payload) { node.receive(node.topics().out(), payload.data(), payload.size(), now); }
  void send(const std::vector<Bytes>& payloads) {
    for (const Bytes& payload : payloads) send(payload);
  }
  // As a gateway that paces does: no more than `buffer_ms` ahead of real time.
  void send_paced(const std::vector<Bytes>& payloads, uint32_t chunk_ms, uint32_t buffer_ms = 1900) {
    uint32_t sent_ms = 0;
    const uint32_t began = now;
    for (const Bytes& payload : payloads) {
      while (sent_ms + chunk_ms > now - began + buffer_ms) run(step_ms);
      send(payload);
      sent_ms += chunk_ms;
    }
  }
  void event(const std::string& text) {
    node.receive(node.topics().event(), reinterpret_cast<const uint8_t*>(text.data()), text.size(), now);
  }
  void done(uint16_t turn, const std::string& outcome, int chunks = 0) {
    event("{\"event\":\"done\",\"turn\":" + std::to_string(turn) + ",\"session_id\":\"a4cf128b3f9e\",\"outcome\":\"" +
          outcome + "\",\"reply\":\"\",\"chunks\":" + std::to_string(chunks) + "}");
  }

  void announced(uint16_t turn, const std::string& rest) {
    event("{\"event\":\"announcement\",\"turn\":" + std::to_string(turn) +
          ",\"session_id\":\"a4cf128b3f9e\",\"id\":\"x\"," + rest + "}");
  }

  void state(const std::string& text) {
    node.receive(node.topics().state(), reinterpret_cast<const uint8_t*>(text.data()), text.size(), now);
  }
  // What the gateway says of the device: what it does, and its last turn (0: none yet).
  void state(const std::string& doing, uint16_t last, const std::string& outcome = "completed") {
    const std::string turn = "{\"turn\":" + std::to_string(last) + ",\"outcome\":\"" + outcome +
                             "\",\"heard\":\"\",\"said\":\"\",\"total_ms\":1}";
    state("{\"state\":\"" + doing + "\",\"session_id\":\"a4cf128b3f9e\",\"last\":" + (last == 0 ? "null" : turn) + "}");
  }

  std::vector<Published> published_on(const char* topic) const {
    std::vector<Published> found;
    for (const Published& each : link.published) {
      if (each.topic == topic) found.push_back(each);
    }
    return found;
  }
  std::vector<Published> audio() const { return published_on(node.topics().in()); }
  std::vector<Published> control() const { return published_on(node.topics().control()); }
  // The turn of the newest frame sent; 0 when there is none.
  uint16_t last_turn() const {
    for (auto each = link.published.rbegin(); each != link.published.rend(); ++each) {
      if (each->topic == node.topics().in()) return frame_of(each->payload).turn;
    }
    return 0;
  }
  // Whether the gateway was told to give up `turn`.
  bool cancelled(uint16_t turn) const {
    const std::vector<Published> sent = audio();
    return std::any_of(sent.begin(), sent.end(), [turn](const Published& each) {
      const voice::Frame frame = frame_of(each.payload);
      return frame.turn == turn && frame.has(voice::flag::cancel);
    });
  }

  FakeMicrophone microphone;
  FakeSpeaker speaker;
  FakeDecoder decoder;
  FakeLink link;
  voice::Node node;
  uint32_t now;
};

// Speech enough for the endpointer: a square wave, or near silence.
inline int16_t loud(uint64_t position) { return position / 20 % 2 == 0 ? int16_t{6000} : int16_t{-6000}; }
inline int16_t hush(uint64_t position) { return position / 20 % 2 == 0 ? int16_t{20} : int16_t{-20}; }

#endif
