// Any messages on any topic, at any moment of a device's life: it sends only frames that can be read, and when it is
// left alone it comes to rest.
#include <fuzzer/FuzzedDataProvider.h>

#include <cstdlib>

#include "../test/fakes.h"

namespace {

constexpr int most_actions = 60;

Bytes some_bytes(FuzzedDataProvider& data) {
  return data.ConsumeBytes<uint8_t>(data.ConsumeIntegralInRange<size_t>(0, 200));
}

void receive(World& world, const char* topic, const Bytes& payload) {
  world.node.receive(topic, payload.data(), payload.size(), world.now);
}

// A frame that is well formed and mostly of the turn that is open, so that more than its header is tried.
Bytes some_frame(FuzzedDataProvider& data, const World& world) {
  const uint16_t turn = data.ConsumeBool() ? world.last_turn() : data.ConsumeIntegral<uint16_t>();
  const uint8_t seq = data.ConsumeIntegralInRange<uint8_t>(0, 15);
  const uint8_t flags = data.ConsumeIntegralInRange<uint8_t>(0, 7);
  const Bytes audio =
      data.ConsumeBool() ? mp3::frames(turn, seq, data.ConsumeIntegralInRange<uint8_t>(0, 40)) : some_bytes(data);
  return reply_frame(turn, seq, flags, audio);
}

void act(FuzzedDataProvider& data, World& world) {
  switch (data.ConsumeIntegralInRange<int>(0, 11)) {
    case 0:
      return receive(world, world.node.topics().out(), some_bytes(data));
    case 1:
      return receive(world, world.node.topics().event(), some_bytes(data));
    case 2:
      return receive(world, data.ConsumeRandomLengthString(20).c_str(), some_bytes(data));
    case 3:
      return receive(world, world.node.topics().out(), some_frame(data, world));
    case 4:
      return world.done(world.last_turn(), data.PickValueInArray({"completed", "interrupted", "silent", "failed"}));
    case 5:
      return world.press();
    case 6:
      return world.release();
    case 7:
      return world.link_up();
    case 8:
      return world.link_down();
    case 9:
      return receive(world, world.node.topics().state(), some_bytes(data));
    case 10: {
      const uint16_t last = data.ConsumeBool() ? world.last_turn() : data.ConsumeIntegral<uint16_t>();
      return world.state(data.PickValueInArray({"idle", "listening", "thinking", "speaking"}), last);
    }
    default:
      return world.run(data.ConsumeIntegralInRange<uint32_t>(0, 400));
  }
}

void require(bool holds) {
  if (!holds) abort();
}

// The speaker plays on, the microphone is silent: nothing happens any more.
void leave_alone(World& world) {
  constexpr uint32_t step_ms = 250;
  constexpr uint32_t every_limit_ms = voice::config::longest_utterance_ms + voice::config::reply_timeout_ms + 30000;
  for (uint32_t passed = 0; passed < every_limit_ms; passed += step_ms) {
    world.now += step_ms;
    world.link.now = world.now;
    world.speaker.advance(step_ms);
    world.node.tick(world.now);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  FuzzedDataProvider data(input, size);
  // The clock's overflow comes somewhere among the actions, or in what follows.
  World world(0U - data.ConsumeIntegralInRange<uint32_t>(0, 20000));
  world.begin_linked();
  for (int i = 0; i < most_actions && data.remaining_bytes() > 0; i++) act(data, world);
  world.release();
  leave_alone(world);

  const voice::State state = world.node.state();
  require(state == voice::State::Idle || state == voice::State::Offline);
  require(!world.microphone.on);
  require(world.speaker.queued() == 0);
  for (const Published& sent : world.audio()) {
    voice::Frame frame;
    require(voice::decode_frame(sent.payload.data(), sent.payload.size(), frame) == voice::Verdict::Frame);
    require(!voice::is_gateway_turn(frame.turn));
  }
  return 0;
}
