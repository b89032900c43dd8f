#include <doctest/doctest.h>

#include <cmath>
#include <optional>
#include <vector>

#include "random.h"
#include "voice_core/endpointer.h"

using namespace voice;

namespace {

using Sound = std::vector<int16_t>;

size_t samples_of(uint32_t ms) { return static_cast<size_t>(config::mic_rate) * ms / 1000; }

int16_t clipped(double value) { return static_cast<int16_t>(value > 32767 ? 32767 : value < -32768 ? -32768 : value); }

// Noise of a mean level, around an offset.
Sound noise(Random& random, uint32_t ms, int32_t level, int32_t offset = 0) {
  Sound sound(samples_of(ms));
  for (int16_t& sample : sound) sample = clipped(offset + random.between(-2 * level, 2 * level));
  return sound;
}

// Syllables: a buzz that swells and fades five times a second, over noise.
Sound speech(Random& random, uint32_t ms, double peak, int32_t noise_level, int32_t offset = 0) {
  Sound sound = noise(random, ms, noise_level, offset);
  for (size_t i = 0; i < sound.size(); i++) {
    const double t = static_cast<double>(i) / config::mic_rate;
    const double swell = 0.55 - 0.45 * std::cos(2 * M_PI * 5 * t);
    const double buzz = std::sin(2 * M_PI * 150 * t) + 0.6 * std::sin(2 * M_PI * 450 * t);
    sound[i] = clipped(sound[i] + peak * swell * buzz / 1.6);
  }
  return sound;
}

struct Change {
  SpeechChange kind;
  uint32_t at_ms;
};

// Feeds frame by frame and lists what changed, and when, from the first sample ever fed.
class Listener {
 public:
  void hear(const Sound& sound) {
    for (size_t at = 0; at < sound.size(); at += Endpointer::frame_samples) {
      const size_t count = std::min(Endpointer::frame_samples, sound.size() - at);
      const SpeechChange change = endpointer.feed(sound.data() + at, count);
      heard_ += count;
      const uint32_t now_ms = static_cast<uint32_t>(heard_ * 1000 / config::mic_rate);
      if (change != SpeechChange::None) changes.push_back({change, now_ms});
    }
  }

  Endpointer endpointer;
  std::vector<Change> changes;

 private:
  size_t heard_ = 0;
};

}  // namespace

TEST_CASE("endpointer: speech begins and ends once, in time, in a quiet room and in a loud one") {
  struct Room {
    int32_t noise_level;
    double speech_peak;
  };
  for (const Room room : {Room{0, 2000}, Room{5, 2000}, Room{50, 4000}, Room{300, 12000}, Room{1000, 32000}}) {
    for (const int32_t offset : {0, 1500, -1500}) {
      CAPTURE(room.noise_level);
      CAPTURE(offset);
      Random random(1);
      Listener listener;
      listener.hear(noise(random, 2000, room.noise_level, offset));
      REQUIRE(listener.changes.empty());
      listener.hear(speech(random, 3000, room.speech_peak, room.noise_level, offset));
      REQUIRE(listener.changes.size() == 1);
      CHECK(listener.endpointer.speaking());
      listener.hear(noise(random, 2000, room.noise_level, offset));
      REQUIRE(listener.changes.size() == 2);
      CHECK_FALSE(listener.endpointer.speaking());
      CHECK(listener.changes[0].kind == SpeechChange::SpeechStarted);
      CHECK(listener.changes[0].at_ms >= 2000 + config::endpoint_speech_ms);
      // The pre-roll must reach back to the first sound.
      CHECK(listener.changes[0].at_ms <= 2000 + config::pre_roll_ms);
      CHECK(listener.changes[1].kind == SpeechChange::SpeechEnded);
      // The last syllable fades before its end.
      CHECK(listener.changes[1].at_ms >= 5000 + config::endpoint_silence_ms - 100);
      CHECK(listener.changes[1].at_ms <= 5000 + config::endpoint_silence_ms + 100);
    }
  }
}

TEST_CASE("endpointer: a pause shorter than the limit does not end speech") {
  Random random(2);
  Listener listener;
  listener.hear(noise(random, 1000, 20));
  for (int i = 0; i < 4; i++) {
    listener.hear(speech(random, 800, 4000, 20));
    listener.hear(noise(random, config::endpoint_silence_ms - 100, 20));
  }
  CHECK(listener.changes.size() == 1);
}

TEST_CASE("endpointer: clicks are not speech") {
  Random random(3);
  Listener listener;
  listener.hear(noise(random, 1000, 20));
  for (int i = 0; i < 20; i++) {
    listener.hear(noise(random, 40, 8000));
    listener.hear(noise(random, 300, 20));
  }
  CHECK(listener.changes.empty());
}

TEST_CASE("endpointer: digital silence, and sound below the least level, are not speech") {
  Random random(4);
  Listener listener;
  listener.hear(Sound(samples_of(3000), 0));
  listener.hear(Sound(samples_of(3000), -1200));
  listener.hear(Sound(samples_of(1000), 0));
  listener.hear(speech(random, 2000, config::endpoint_min_level, 0));
  CHECK(listener.changes.empty());
}

TEST_CASE("endpointer: a steady noise that sets in is taken for speech once at most, then for the room") {
  Random random(5);
  Listener listener;
  listener.hear(noise(random, 2000, 20));
  listener.hear(noise(random, 60000, 300));
  REQUIRE(listener.changes.size() == 2);
  CHECK(listener.changes[1].kind == SpeechChange::SpeechEnded);
  CHECK(listener.changes[1].at_ms < 2000 + config::longest_utterance_ms);
  // And in that room speech is still found.
  listener.hear(speech(random, 2000, 12000, 300));
  listener.hear(noise(random, 2000, 300));
  CHECK(listener.changes.size() == 4);
}

TEST_CASE("endpointer: when the noise stops, soft speech is found at once") {
  Random random(6);
  Listener listener;
  listener.hear(noise(random, 5000, 1000));
  listener.hear(noise(random, 500, 10));
  REQUIRE(listener.changes.empty());
  listener.hear(speech(random, 1000, 1500, 10));
  CHECK(listener.changes.size() == 1);
}

TEST_CASE("endpointer: long speech with pauses only between syllables is not cut off") {
  Random random(7);
  Listener listener;
  listener.hear(noise(random, 1000, 20));
  listener.hear(speech(random, 25000, 6000, 20));
  CHECK(listener.changes.size() == 1);
}

TEST_CASE("endpointer: how the samples are cut changes nothing") {
  Random random(8);
  Sound sound = noise(random, 1000, 20);
  for (int i = 0; i < 3; i++) {
    for (const Sound& part : {speech(random, 1500, 5000, 20), noise(random, 1500, 20)}) {
      sound.insert(sound.end(), part.begin(), part.end());
    }
  }
  const auto changes_of = [&sound](Random* lengths) {
    Endpointer endpointer;
    std::vector<SpeechChange> changes;
    for (size_t at = 0; at < sound.size();) {
      const size_t wanted = lengths ? 1 + lengths->below(4000) : 1;
      const size_t count = std::min(wanted, sound.size() - at);
      const SpeechChange change = endpointer.feed(sound.data() + at, count);
      if (change != SpeechChange::None) changes.push_back(change);
      at += count;
    }
    changes.push_back(endpointer.noise_level() == 0 ? SpeechChange::SpeechEnded : SpeechChange::None);
    return changes;
  };
  const auto one_by_one = changes_of(nullptr);
  REQUIRE(one_by_one.size() == 7);
  for (uint32_t seed = 0; seed < 10; seed++) {
    Random lengths(seed);
    CHECK(changes_of(&lengths) == one_by_one);
  }
}

TEST_CASE("endpointer: a restart forgets the speech and keeps the room") {
  Random random(9);
  Listener listener;
  listener.hear(noise(random, 3000, 200));
  const uint32_t room = listener.endpointer.noise_level();
  listener.hear(speech(random, 1000, 12000, 200));
  REQUIRE(listener.endpointer.speaking());
  listener.endpointer.restart();
  CHECK_FALSE(listener.endpointer.speaking());
  CHECK(listener.endpointer.noise_level() >= room / 2);
  CHECK(listener.endpointer.noise_level() <= room * 2);
  listener.changes.clear();
  listener.hear(noise(random, 2000, 200));
  CHECK(listener.changes.empty());
}

TEST_CASE("endpointer: the loudest samples there are do not overflow it") {
  Listener listener;
  Sound extremes(samples_of(3000));
  for (size_t i = 0; i < extremes.size(); i++) extremes[i] = i % 2 == 0 ? -32768 : 32767;
  listener.hear(Sound(samples_of(500), 0));
  listener.hear(extremes);
  listener.hear(Sound(samples_of(500), -32768));
  listener.hear(Sound(samples_of(500), 32767));
  CHECK(listener.changes.size() == 2);
}
