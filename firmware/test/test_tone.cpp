#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <vector>

#include "random.h"
#include "voice_core/config.h"
#include "voice_core/tone.h"

using namespace voice;

namespace {

std::vector<int16_t> whole(ToneKind kind, uint32_t rate) {
  Tone tone;
  tone.start(kind, rate);
  std::vector<int16_t> samples(rate);
  samples.resize(tone.read(samples.data(), samples.size()));
  CHECK(tone.done());
  return samples;
}

// By counting how often the sound crosses zero upwards.
double hz_of(const std::vector<int16_t>& samples, size_t from, size_t to, uint32_t rate) {
  int crossings = 0;
  for (size_t i = from + 1; i < to; i++) crossings += samples[i - 1] < 0 && samples[i] >= 0;
  return crossings * static_cast<double>(rate) / static_cast<double>(to - from);
}

}  // namespace

TEST_CASE("tone: as long and as high at every rate") {
  for (const uint32_t rate : {8000, 16000, 22050, 24000, 44100, 48000}) {
    CAPTURE(rate);
    const std::vector<int16_t> error = whole(ToneKind::Error, rate);
    CHECK(error.size() == doctest::Approx(0.4 * rate).epsilon(0.001));
    CHECK(hz_of(error, 0, error.size() / 3, rate) == doctest::Approx(440).epsilon(0.03));
    CHECK(hz_of(error, error.size() / 2, error.size(), rate) == doctest::Approx(311).epsilon(0.03));
  }
}

TEST_CASE("tone: ready rises where error falls") {
  const std::vector<int16_t> ready = whole(ToneKind::Ready, 16000);
  CHECK(hz_of(ready, 0, ready.size() / 3, 16000) < hz_of(ready, ready.size() / 2, ready.size(), 16000));
}

TEST_CASE("tone: neither clicks nor clips") {
  for (const ToneKind kind : {ToneKind::Error, ToneKind::Ready}) {
    const std::vector<int16_t> samples = whole(kind, 24000);
    CHECK(samples.front() == 0);
    CHECK(std::abs(samples.back()) < 200);
    int32_t peak = 0;
    int32_t steepest = 0;
    for (size_t i = 0; i < samples.size(); i++) {
      peak = std::max(peak, std::abs(static_cast<int32_t>(samples[i])));
      if (i > 0) steepest = std::max(steepest, std::abs(samples[i] - samples[i - 1]));
    }
    CHECK(peak <= config::tone_level);
    CHECK(peak >= config::tone_level * 99 / 100);
    // The steepest a pure sine of 784 Hz at this level can be.
    CHECK(steepest <= config::tone_level * 2 * M_PI * 784 / 24000 + 1);
  }
}

TEST_CASE("tone: in pieces of any length it is the same tone") {
  const std::vector<int16_t> expected = whole(ToneKind::Error, 24000);
  Random random(1);
  for (int round = 0; round < 20; round++) {
    Tone tone;
    tone.start(ToneKind::Error, 24000);
    std::vector<int16_t> joined;
    while (!tone.done()) {
      std::vector<int16_t> piece(1 + random.below(500));
      piece.resize(tone.read(piece.data(), piece.size()));
      joined.insert(joined.end(), piece.begin(), piece.end());
    }
    REQUIRE(joined == expected);
  }
}

TEST_CASE("tone: silent until started, and once stopped; started again it begins again") {
  int16_t samples[64];
  Tone tone;
  CHECK(tone.done());
  CHECK(tone.read(samples, 64) == 0);
  tone.start(ToneKind::Error, 16000);
  CHECK(tone.read(samples, 64) == 64);
  tone.stop();
  CHECK(tone.done());
  CHECK(tone.read(samples, 64) == 0);
  tone.start(ToneKind::Error, 16000);
  CHECK_FALSE(tone.done());
  REQUIRE(tone.read(samples, 64) == 64);
  CHECK(samples[0] == 0);
}
