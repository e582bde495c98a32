// The special ids of every vocabulary, and the text of unknown tokens.
#pragma once

#include <cstdint>

namespace keras_s2s {

constexpr int32_t kPad = 0, kUnknown = 1, kBos = 2, kEos = 3, kNumSpecial = 4;
constexpr const char* kUnknownText = "\u2047";
constexpr const char* kSpaceSign = "\u2581";  // the character for a space in a piece

}  // namespace keras_s2s
