#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <vector>

#include "random.h"
#include "voice_core/adpcm.h"

using namespace voice;

namespace {

std::vector<uint8_t> encode(AdpcmEncoder& encoder, const std::vector<int16_t>& samples) {
  std::vector<uint8_t> block(adpcm_block_size(samples.size()));
  REQUIRE(encoder.encode(samples.data(), samples.size(), block.data()) == block.size());
  return block;
}

std::vector<int16_t> decode(const std::vector<uint8_t>& block) {
  std::vector<int16_t> samples(2 * block.size());
  size_t count = 0;
  REQUIRE(adpcm_decode(block.data(), block.size(), samples.data(), samples.size(), count));
  samples.resize(count);
  return samples;
}

std::vector<int16_t> sine(size_t count, double amplitude, double hz) {
  std::vector<int16_t> samples(count);
  for (size_t i = 0; i < count; i++) {
    samples[i] = static_cast<int16_t>(amplitude * std::sin(2 * M_PI * hz * static_cast<double>(i) / 16000));
  }
  return samples;
}

}  // namespace

TEST_CASE("adpcm: a signal in blocks of any length sounds as in one block") {
  Random random(1);
  std::vector<int16_t> signal(4000);
  for (int16_t& sample : signal) sample = static_cast<int16_t>(random.between(-32768, 32767));
  AdpcmEncoder whole_encoder;
  const std::vector<int16_t> whole = decode(encode(whole_encoder, signal));
  for (int round = 0; round < 50; round++) {
    AdpcmEncoder encoder;
    std::vector<int16_t> joined;
    for (size_t at = 0; at < signal.size();) {
      size_t count = 2 * random.below(200);
      if (count > signal.size() - at) count = signal.size() - at;
      const auto begin = signal.begin() + static_cast<std::ptrdiff_t>(at);
      const auto block = encode(encoder, {begin, begin + static_cast<std::ptrdiff_t>(count)});
      // Each block is decoded alone: that one is lost spoils no other.
      const std::vector<int16_t> samples = decode(block);
      joined.insert(joined.end(), samples.begin(), samples.end());
      at += count;
    }
    REQUIRE(joined == whole);
  }
}

TEST_CASE("adpcm: the decoder knows after each block what the encoder knows") {
  Random random(2);
  AdpcmEncoder encoder;
  for (int round = 0; round < 200; round++) {
    std::vector<int16_t> samples(2 * (1 + random.below(50)));
    for (int16_t& sample : samples) sample = static_cast<int16_t>(random.between(-32768, 32767));
    const std::vector<int16_t> heard = decode(encode(encoder, samples));
    CHECK(heard.back() == encoder.predictor());
    CHECK(encoder.index() <= 88);
  }
}

TEST_CASE("adpcm: speech-like sound comes back 20 dB above its error, loud or soft") {
  for (const double amplitude : {500.0, 5000.0, 30000.0}) {
    const std::vector<int16_t> signal = sine(16000, amplitude, 440);
    AdpcmEncoder encoder;
    const std::vector<int16_t> heard = decode(encode(encoder, signal));
    double power = 0;
    double error = 0;
    for (size_t i = 0; i < signal.size(); i++) {
      power += static_cast<double>(signal[i]) * signal[i];
      error += std::pow(signal[i] - heard[i], 2);
    }
    CAPTURE(amplitude);
    CHECK(10 * std::log10(power / error) > 20);
  }
}

TEST_CASE("adpcm: an odd last sample is said twice") {
  AdpcmEncoder odd_encoder;
  AdpcmEncoder even_encoder;
  CHECK(encode(odd_encoder, {100, 200, 300}) == encode(even_encoder, {100, 200, 300, 300}));
}

TEST_CASE("adpcm: another signal begins as the first did") {
  AdpcmEncoder encoder;
  const auto first = encode(encoder, sine(100, 9000, 300));
  CHECK(encode(encoder, sine(100, 9000, 300)) != first);
  encoder.reset();
  CHECK(encode(encoder, sine(100, 9000, 300)) == first);
}

TEST_CASE("adpcm: a block that holds more than there is room for is refused whole") {
  AdpcmEncoder encoder;
  const auto block = encode(encoder, sine(10, 9000, 300));
  std::vector<int16_t> samples(9, 77);
  size_t count = 1234;
  CHECK_FALSE(adpcm_decode(block.data(), block.size(), samples.data(), samples.size(), count));
  CHECK(samples == std::vector<int16_t>(9, 77));
  CHECK(count == 1234);
}
