#include <doctest/doctest.h>

#include <array>
#include <cstdlib>

#include "fakes.h"
#include "random.h"
#include "voice_core/uplink.h"

using namespace voice;

namespace {

struct Bench {
  Bench() : uplink(link, topics, counters) { topics.set("voice", "kitchen"); }

  FakeLink link;
  Topics topics;
  Counters counters;
  Uplink uplink;

  std::vector<Frame> frames() const {
    std::vector<Frame> made;
    for (const Published& each : link.published) made.push_back(frame_of(each.payload));
    return made;
  }
};

std::vector<int16_t> noise(size_t count, uint32_t seed = 5) {
  Random random(seed);
  std::vector<int16_t> made(count);
  int32_t level = 0;
  for (int16_t& sample : made) {
    level += random.between(-400, 400);
    level = std::max(-12000, std::min(12000, level));
    sample = static_cast<int16_t>(level);
  }
  return made;
}

std::vector<int16_t> pcm_of(const std::vector<Frame>& frames) {
  std::vector<int16_t> made;
  for (const Frame& frame : frames) {
    for (size_t i = 0; i + 1 < frame.audio_size; i += 2) {
      made.push_back(static_cast<int16_t>(frame.audio[i] | frame.audio[i + 1] << 8));
    }
  }
  return made;
}

}  // namespace

TEST_CASE("uplink: PCM arrives sample for sample, numbered, with START on the first frame and END on the last") {
  Bench bench;
  bench.uplink.set_codec(Codec::Pcm);
  const std::vector<int16_t> samples = noise(5000);
  bench.uplink.begin(7, 0);
  bench.uplink.feed(samples.data(), samples.size());
  bench.uplink.end();
  CHECK_FALSE(bench.uplink.finished());
  bench.uplink.pump(0);
  CHECK(bench.uplink.finished());
  const std::vector<Frame> frames = bench.frames();
  REQUIRE(frames.size() == 5);
  for (size_t i = 0; i < frames.size(); ++i) {
    CHECK(bench.link.published[i].topic == "voice/kitchen/in");
    CHECK_FALSE(bench.link.published[i].retained);
    CHECK(frames[i].turn == 7);
    CHECK(frames[i].seq == i);
    CHECK(frames[i].codec == Codec::Pcm);
    CHECK(frames[i].rate == 16000);
    CHECK(frames[i].flags == (i == 0 ? flag::start : i == 4 ? flag::end : 0));
  }
  CHECK(pcm_of(frames) == samples);
  CHECK(bench.counters.frames_sent == 5);
}

TEST_CASE("uplink: ADPCM frames each stand alone and sound like what was said") {
  Bench bench;
  const std::vector<int16_t> samples = noise(10000);
  bench.uplink.begin(1, 0);
  bench.uplink.feed(samples.data(), samples.size());
  bench.uplink.end();
  bench.uplink.pump(0);
  size_t at = 0;
  for (const Frame& frame : bench.frames()) {
    CHECK(frame.codec == Codec::Adpcm);
    std::array<int16_t, config::adpcm_chunk_samples> decoded{};
    size_t count = 0;
    REQUIRE(adpcm_decode(frame.audio, frame.audio_size, decoded.data(), decoded.size(), count));
    int64_t error = 0;
    for (size_t i = 0; i < count; ++i) error += std::abs(decoded[i] - samples[at + i]);
    // The first frame begins with the smallest step, and has to find the level.
    CHECK(error / static_cast<int64_t>(count) < 150);
    at += count;
  }
  CHECK(at == samples.size());
}

TEST_CASE("uplink: the messages do not depend on how the samples were cut") {
  const std::vector<int16_t> samples = noise(7001);  // fits into what is kept
  for (const Codec codec : {Codec::Pcm, Codec::Adpcm}) {
    Bench whole;
    whole.uplink.set_codec(codec);
    whole.uplink.begin(3, 0);
    whole.uplink.feed(samples.data(), samples.size());
    whole.uplink.end();
    whole.uplink.pump(0);
    Random random(9);
    for (int round = 0; round < 20; ++round) {
      Bench cut;
      cut.uplink.set_codec(codec);
      cut.uplink.begin(3, 0);
      for (size_t at = 0; at < samples.size();) {
        const size_t count = std::min<size_t>(samples.size() - at, 1 + random.below(700));
        cut.uplink.feed(samples.data() + at, count);
        cut.uplink.pump(0);
        at += count;
      }
      cut.uplink.end();
      cut.uplink.pump(0);
      REQUIRE(cut.link.published.size() == whole.link.published.size());
      for (size_t i = 0; i < whole.link.published.size(); ++i) {
        CHECK(cut.link.published[i].payload == whole.link.published[i].payload);
      }
    }
  }
}

TEST_CASE("uplink: an utterance whose last frame has left already ends with an empty one") {
  Bench bench;
  const std::vector<int16_t> samples = noise(config::adpcm_chunk_samples);
  bench.uplink.begin(1, 0);
  bench.uplink.feed(samples.data(), samples.size());
  bench.uplink.pump(0);
  bench.uplink.end();
  bench.uplink.pump(0);
  const std::vector<Frame> frames = bench.frames();
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].flags == flag::start);
  CHECK(frames[1].flags == flag::end);
  CHECK(frames[1].seq == 1);
  CHECK(frames[1].audio_size == 0);
}

TEST_CASE("uplink: an utterance without a sample is one frame") {
  Bench bench;
  bench.uplink.begin(1, 0);
  bench.uplink.end();
  bench.uplink.pump(0);
  REQUIRE(bench.frames().size() == 1);
  CHECK(bench.frames()[0].flags == (flag::start | flag::end));
}

TEST_CASE("uplink: what the link refuses is kept and leaves later, in order and whole") {
  Bench bench;
  bench.uplink.set_codec(Codec::Pcm);
  const std::vector<int16_t> samples = noise(6 * config::pcm_chunk_samples);
  bench.uplink.begin(1, 100);
  bench.uplink.feed(samples.data(), 2 * config::pcm_chunk_samples);
  bench.uplink.pump(200);
  CHECK(bench.uplink.stuck_ms(5000) == 0);
  bench.link.refuses = true;
  bench.uplink.feed(samples.data() + 2 * config::pcm_chunk_samples, 4 * config::pcm_chunk_samples);
  bench.uplink.pump(300);
  CHECK(bench.uplink.stuck_ms(700) == 500);
  CHECK(bench.counters.publish_refused == 1);
  bench.uplink.end();
  bench.link.refuses = false;
  bench.uplink.pump(800);
  CHECK(bench.uplink.finished());
  CHECK(pcm_of(bench.frames()) == samples);
  CHECK(bench.counters.frames_dropped == 0);
}

TEST_CASE("uplink: what cannot be kept is counted and leaves a gap in the numbers; START and END survive") {
  Bench bench;
  bench.uplink.set_codec(Codec::Pcm);
  bench.link.refuses = true;
  bench.uplink.begin(1, 0);
  const size_t kept = config::uplink_bytes / (2 * config::pcm_chunk_samples);
  const std::vector<int16_t> samples = noise((kept + 3) * config::pcm_chunk_samples);
  bench.uplink.feed(samples.data(), samples.size());
  CHECK(bench.counters.frames_dropped == 3);
  bench.link.refuses = false;
  bench.uplink.pump(0);
  const std::vector<int16_t> more = noise(config::pcm_chunk_samples);
  bench.uplink.feed(more.data(), more.size());
  bench.uplink.end();
  bench.uplink.pump(0);
  const std::vector<Frame> frames = bench.frames();
  REQUIRE(frames.size() == kept + 1);
  CHECK(frames.front().flags == flag::start);
  CHECK(frames[kept - 1].seq == kept - 1);
  CHECK(frames.back().seq == kept + 3);
  CHECK(frames.back().flags == flag::end);
}

TEST_CASE("uplink: END is said even when the last frames found no room") {
  Bench bench;
  bench.uplink.set_codec(Codec::Pcm);
  bench.link.refuses = true;
  bench.uplink.begin(1, 0);
  const std::vector<int16_t> samples = noise(config::uplink_bytes);
  bench.uplink.feed(samples.data(), samples.size());
  bench.uplink.end();
  REQUIRE(bench.counters.frames_dropped > 0);
  bench.link.refuses = false;
  bench.uplink.pump(0);
  const std::vector<Frame> frames = bench.frames();
  CHECK(frames.back().flags == flag::end);
  CHECK(frames.back().audio_size == 0);
  CHECK(frames.back().seq == config::uplink_bytes / config::pcm_chunk_samples);
  for (size_t i = 0; i + 1 < frames.size(); ++i) CHECK_FALSE(frames[i].has(flag::end));
}

TEST_CASE("uplink: armed, it keeps the pre-roll and not much more") {
  for (const Codec codec : {Codec::Pcm, Codec::Adpcm}) {
    const size_t chunk = codec == Codec::Pcm ? config::pcm_chunk_samples : config::adpcm_chunk_samples;
    Random random(4);
    for (int round = 0; round < 50; ++round) {
      Bench bench;
      bench.uplink.set_codec(codec);
      bench.uplink.arm();
      const std::vector<int16_t> before = noise(config::pre_roll_samples + random.below(40000), 6);
      for (size_t at = 0; at < before.size(); at += 320) {
        bench.uplink.feed(before.data() + at, std::min<size_t>(320, before.size() - at));
        bench.uplink.pump(0);
      }
      CHECK(bench.link.published.empty());
      CHECK(bench.counters.frames_dropped == 0);
      bench.uplink.begin(9, 0);
      bench.uplink.end();
      bench.uplink.pump(0);
      size_t count = 0;
      uint16_t seq = 0;
      for (const Frame& frame : bench.frames()) {
        CHECK(frame.seq == seq++);
        CHECK(frame.turn == 9);
        count += codec == Codec::Pcm ? frame.audio_size / 2 : (frame.audio_size > 0 ? frame.audio_size - 4 : 0) * 2;
      }
      CHECK(count >= config::pre_roll_samples);
      CHECK(count <= config::pre_roll_samples + chunk + 1);
      CHECK(bench.frames().front().has(flag::start));
      if (codec == Codec::Pcm) {
        const std::vector<int16_t> sent = pcm_of(bench.frames());
        CHECK(std::equal(sent.begin(), sent.end(), before.end() - static_cast<std::ptrdiff_t>(sent.size())));
      }
    }
  }
}

TEST_CASE("uplink: a new utterance has nothing of one that was dropped") {
  Bench bench;
  bench.uplink.set_codec(Codec::Pcm);
  const std::vector<int16_t> old(3000, 1);
  bench.uplink.begin(1, 0);
  bench.uplink.feed(old.data(), old.size());
  bench.uplink.drop();
  bench.uplink.pump(0);
  CHECK(bench.link.published.empty());
  const std::vector<int16_t> samples(1500, 2);
  bench.uplink.begin(2, 0);
  bench.uplink.feed(samples.data(), samples.size());
  bench.uplink.end();
  bench.uplink.pump(0);
  CHECK(pcm_of(bench.frames()) == samples);
}

TEST_CASE("uplink: the same words are sent the same way, whatever was said before") {
  Bench bench;
  const std::vector<int16_t> samples = noise(6000);
  for (int round = 0; round < 2; ++round) {
    bench.uplink.begin(1, 0);
    bench.uplink.feed(samples.data(), samples.size());
    bench.uplink.end();
    bench.uplink.pump(0);
  }
  REQUIRE(bench.link.published.size() == 6);
  for (size_t i = 0; i < 3; ++i) CHECK(bench.link.published[i].payload == bench.link.published[i + 3].payload);
}

TEST_CASE("uplink: no message is larger than it says") {
  for (const Codec codec : {Codec::Pcm, Codec::Adpcm}) {
    Bench bench;
    bench.uplink.set_codec(codec);
    const std::vector<int16_t> samples = noise(7777);
    bench.uplink.begin(1, 0);
    bench.uplink.feed(samples.data(), samples.size());
    bench.uplink.end();
    bench.uplink.pump(0);
    size_t largest = 0;
    for (const Published& each : bench.link.published) largest = std::max(largest, each.payload.size());
    CHECK(largest == Uplink::largest_message(codec));
  }
}

TEST_CASE("uplink: CANCEL names the turn") {
  Bench bench;
  REQUIRE(bench.uplink.publish_cancel(12));
  const Frame frame = frame_of(bench.link.published.at(0).payload);
  CHECK(frame.turn == 12);
  CHECK(frame.flags == flag::cancel);
  bench.link.refuses = true;
  CHECK_FALSE(bench.uplink.publish_cancel(12));
}
