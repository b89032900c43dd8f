// Any payload: what decodes to a frame must encode to the same header, and its audio, if it is ADPCM, must decode
// within bounds or be refused.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "voice_core/adpcm.h"
#include "voice_core/frame.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  voice::Frame frame;
  const voice::Verdict verdict = voice::decode_frame(data, size, frame);
  if (verdict == voice::Verdict::Frame) {
    uint8_t header[voice::frame_header_size];
    voice::encode_header(frame, header);
    if (memcmp(header, data, sizeof(header)) != 0) abort();
    if (frame.audio_size != size - voice::frame_header_size) abort();
  }
  const uint8_t* const block = verdict == voice::Verdict::Frame ? frame.audio : data;
  const size_t block_size = verdict == voice::Verdict::Frame ? frame.audio_size : size;
  std::vector<int16_t> samples(2 * block_size);
  size_t count = 0;
  if (voice::adpcm_decode(block, block_size, samples.data(), samples.size(), count)) {
    if (voice::adpcm_block_size(count) != block_size) abort();
    // A decoder's output can be encoded from the same state, whatever it is.
    std::vector<uint8_t> again(block_size);
    const int16_t predictor = static_cast<int16_t>(static_cast<uint16_t>(block[0] | block[1] << 8));
    voice::AdpcmEncoder encoder(predictor, block[2]);
    if (encoder.encode(samples.data(), count, again.data()) != block_size || encoder.index() > 88) abort();
  }
  return 0;
}
