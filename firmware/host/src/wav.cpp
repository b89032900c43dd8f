#include "wav.h"

#include <errno.h>
#include <string.h>

#include <fstream>
#include <iterator>

namespace host {

namespace {

constexpr size_t header_bytes = 44;

uint32_t little_endian(const uint8_t* bytes, size_t size) {
  uint32_t value = 0;
  for (size_t i = size; i > 0; --i) value = value << 8 | bytes[i - 1];
  return value;
}

// Linear interpolation: the board's rates are near enough to each other for it to be heard through.
std::vector<int16_t> convert(const std::vector<int16_t>& samples, uint32_t from, uint32_t to) {
  if (from == to || samples.empty()) return samples;
  const size_t count = static_cast<size_t>(static_cast<uint64_t>(samples.size()) * to / from);
  std::vector<int16_t> converted(count);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t position = static_cast<uint64_t>(i) * from;
    const size_t left = static_cast<size_t>(position / to);
    const int64_t part = static_cast<int64_t>(position % to);
    const int64_t a = samples[left];
    const int64_t b = left + 1 < samples.size() ? samples[left + 1] : samples[left];
    converted[i] = static_cast<int16_t>(a + (b - a) * part / static_cast<int64_t>(to));
  }
  return converted;
}

}  // namespace

std::vector<int16_t> read_wav(const std::string& path, uint32_t rate, std::string& error) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    error = std::string("cannot read it: ") + strerror(errno);
    return {};
  }
  const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (bytes.size() < 12 || memcmp(bytes.data(), "RIFF", 4) != 0 || memcmp(bytes.data() + 8, "WAVE", 4) != 0) {
    error = "not a WAV file; make one with: ffmpeg -i FILE -ac 1 -ar 16000 -c:a pcm_s16le question.wav";
    return {};
  }
  uint32_t channels = 0;
  uint32_t file_rate = 0;
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const uint8_t* chunk = bytes.data() + at;
    const size_t size = std::min<size_t>(little_endian(chunk + 4, 4), bytes.size() - at - 8);
    if (memcmp(chunk, "fmt ", 4) == 0 && size >= 16) {
      if (little_endian(chunk + 8, 2) != 1 || little_endian(chunk + 22, 2) != 16) break;
      channels = little_endian(chunk + 10, 2);
      file_rate = little_endian(chunk + 12, 4);
    } else if (memcmp(chunk, "data", 4) == 0 && channels > 0 && file_rate > 0) {
      std::vector<int16_t> samples(size / 2 / channels);
      for (size_t i = 0; i < samples.size(); ++i) {
        int32_t sum = 0;
        for (uint32_t channel = 0; channel < channels; ++channel) {
          sum += static_cast<int16_t>(little_endian(chunk + 8 + 2 * (i * channels + channel), 2));
        }
        samples[i] = static_cast<int16_t>(sum / static_cast<int32_t>(channels));
      }
      return convert(samples, file_rate, rate);
    }
    at += 8 + size + size % 2;
  }
  error = "not 16-bit PCM; make it so with: ffmpeg -i FILE -ac 1 -ar 16000 -c:a pcm_s16le question.wav";
  return {};
}

WavWriter::~WavWriter() {
  if (file_ != nullptr) {
    flush();
    fclose(file_);
  }
}

bool WavWriter::open(const std::string& path, bool append) {
  if (append) {
    file_ = fopen(path.c_str(), "r+be");
    uint8_t header[header_bytes];
    if (file_ != nullptr && fread(header, 1, header_bytes, file_) == header_bytes) {
      rate_ = little_endian(header + 24, 4);
      samples_ = little_endian(header + 40, 4) / 2;
      fseek(file_, 0, SEEK_END);
    }
  } else {
    file_ = fopen(path.c_str(), "w+be");
  }
  return file_ != nullptr;
}

void WavWriter::write(const std::vector<int16_t>& samples, uint32_t rate) {
  if (file_ == nullptr) return;
  if (rate_ == 0) {
    rate_ = rate;
    write_header();
  }
  const std::vector<int16_t> converted = convert(samples, rate, rate_);
  samples_ += static_cast<uint32_t>(fwrite(converted.data(), 2, converted.size(), file_));
}

void WavWriter::flush() {
  if (file_ == nullptr || rate_ == 0) return;
  write_header();
  fflush(file_);
}

void WavWriter::write_header() {
  uint8_t header[header_bytes] = {'R', 'I', 'F', 'F', 0,  0, 0,   0,   'W', 'A', 'V', 'E', 'f', 'm', 't',
                                  ' ', 16,  0,   0,   0,  1, 0,   1,   0,   0,   0,   0,   0,   0,   0,
                                  0,   0,   2,   0,   16, 0, 'd', 'a', 't', 'a', 0,   0,   0,   0};
  const auto put = [&header](size_t at, uint32_t value) {
    for (size_t i = 0; i < 4; ++i) header[at + i] = static_cast<uint8_t>(value >> 8 * i);
  };
  put(4, static_cast<uint32_t>(header_bytes) - 8 + 2 * samples_);
  put(24, rate_);
  put(28, 2 * rate_);
  put(40, 2 * samples_);
  fseek(file_, 0, SEEK_SET);
  fwrite(header, 1, header_bytes, file_);
  fseek(file_, 0, SEEK_END);
}

}  // namespace host
