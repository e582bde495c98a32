// The unigram model of a SentencePieceTokenizer: the most probable pieces of a text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "json.h"
#include "special_ids.h"

namespace keras_s2s {

inline std::string ReplaceAll(std::string text, const std::string& before,
                              const std::string& after) {
  for (size_t place = 0; (place = text.find(before, place)) != std::string::npos;) {
    text.replace(place, before.size(), after);
    place += after.size();
  }
  return text;
}

class Pieces {
 public:
  Pieces() = default;

  Pieces(const std::vector<std::string>& tokens, const Json& rules)
      : adds_prefix_(rules.At("add_dummy_prefix").number != 0),
        removes_spaces_(rules.At("remove_extra_whitespaces").number != 0) {
    for (const Json& score : rules.At("scores").items) scores_.push_back(score.number);
    for (size_t id = kNumSpecial; id < tokens.size(); ++id) {
      ids_[tokens[id]] = static_cast<int32_t>(id);
      longest_ = std::max(longest_, tokens[id].size());
    }
    const double least = *std::min_element(scores_.begin() + kNumSpecial, scores_.end());
    unknown_ = static_cast<float>(least - kUnknownPenalty);
    ReadCharacterMap(DecodeBase64(rules.At("character_map").text));
  }

  // Whether a space at the beginning of a text belongs to the model, not to the text.
  bool StripsSpace() const { return adds_prefix_ || removes_spaces_; }

  // Returns the ids of a text, without eos.
  std::vector<int32_t> Split(const std::string& text) const { return Search(Normalize(text)); }

 private:
  // Difference between the scores of the least probable piece and an unknown byte.
  static constexpr double kUnknownPenalty = 10;

  // The best way to a position: its score, the last piece and where that piece begins.
  struct Path {
    float score;
    int32_t id;
    size_t start;
  };

  // Replaces characters by the model's map, and spaces by their sign.
  std::string Normalize(const std::string& text) const {
    std::string found = Replace(adds_prefix_ ? " " + text : text);
    if (removes_spaces_) {
      for (char& byte : found) {
        if (IsSpace(byte)) byte = ' ';
      }
      std::string words = adds_prefix_ && !found.empty() && found[0] == ' ' ? " " : "";
      bool is_first = true;
      for (size_t start = 0; (start = found.find_first_not_of(' ', start)) != std::string::npos;) {
        const size_t end = std::min(found.find(' ', start), found.size());
        words += (is_first ? "" : " ") + found.substr(start, end - start);
        is_first = false;
        start = end;
      }
      found = is_first ? "" : words;
    }
    std::string marked;
    for (const char byte : found) {
      if (IsSpace(byte)) {
        marked += kSpaceSign;
      } else {
        marked += byte;
      }
    }
    return marked;
  }

  static bool IsSpace(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
  }

  // Replaces the longest prefix found in the map, repeatedly.
  std::string Replace(const std::string& text) const {
    std::string found;
    for (size_t place = 0; place < text.size();) {
      const auto [length, start] = LongestPrefix(text, place);
      if (length > 0) {
        found += replacements_.c_str() + start;  // each ends in a zero byte
      } else {
        found += text[place];
      }
      place += std::max<size_t>(length, 1);
    }
    return found;
  }

  // Follows the trie (a double array, as darts-clone writes it). Returns a length and where the
  // replacement begins.
  std::pair<size_t, size_t> LongestPrefix(const std::string& text, size_t place) const {
    std::pair<size_t, size_t> found = {0, 0};
    if (trie_.empty()) return found;
    const auto children = [](uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); };
    size_t node = children(trie_[0]);
    for (size_t at = place; at < text.size(); ++at) {
      const uint32_t byte = static_cast<unsigned char>(text[at]);
      node ^= byte;
      if (node >= trie_.size()) break;
      const uint32_t unit = trie_[node];
      if ((unit & 0x800000FF) != byte) break;
      node ^= children(unit);
      if (unit & 0x100) found = {at + 1 - place, trie_[node] & 0x7FFFFFFF};
    }
    return found;
  }

  // Viterbi's algorithm over bytes; sums are rounded to float32, as in the graph.
  std::vector<int32_t> Search(const std::string& text) const {
    std::vector<std::optional<Path>> best(text.size() + 1);
    best[0] = Path{0, -1, 0};
    const auto update = [&best](size_t place, double score, int32_t id, size_t start) {
      const float rounded = static_cast<float>(score);
      if (!best[place] || best[place]->score < rounded) best[place] = Path{rounded, id, start};
    };
    for (size_t start = 0; start < text.size(); ++start) {
      if (!best[start]) continue;
      const Path here = *best[start];
      for (size_t end = start + 1; end <= std::min(text.size(), start + longest_); ++end) {
        const auto piece = ids_.find(text.substr(start, end - start));
        if (piece == ids_.end()) continue;
        update(end, here.score + scores_[piece->second], piece->second, start);
      }
      // a run of unknown bytes is one token
      update(start + 1, static_cast<double>(here.score) + unknown_, kUnknown,
             here.id == kUnknown ? here.start : start);
    }
    std::vector<int32_t> ids;
    for (size_t end = text.size(); end > 0; end = best[end]->start) ids.push_back(best[end]->id);
    std::reverse(ids.begin(), ids.end());
    return ids;
  }

  // The size of the trie in bytes, the trie, and the replacements.
  void ReadCharacterMap(const std::string& content) {
    const auto read = [&content](size_t place) {
      uint32_t value = 0;
      for (size_t byte = 0; byte < 4; ++byte) {
        value |= static_cast<uint32_t>(static_cast<unsigned char>(content.at(place + byte)))
                 << (8 * byte);
      }
      return value;
    };
    const size_t size = read(0);
    for (size_t place = 4; place < 4 + size; place += 4) trie_.push_back(read(place));
    replacements_ = content.substr(4 + size);
  }

  static std::string DecodeBase64(const std::string& text) {
    static const std::string kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    uint32_t bits = 0;
    int count = 0;
    for (const char digit : text) {
      const size_t value = kDigits.find(digit);
      if (value == std::string::npos) break;  // padding
      bits = bits << 6 | static_cast<uint32_t>(value);
      count += 6;
      if (count >= 8) bytes += static_cast<char>(bits >> (count -= 8) & 0xFF);
    }
    return bytes;
  }

  bool adds_prefix_ = false, removes_spaces_ = false;
  std::vector<double> scores_;
  std::unordered_map<std::string, int32_t> ids_;
  size_t longest_ = 0;
  double unknown_ = 0;
  std::vector<uint32_t> trie_;
  std::string replacements_;
};

}  // namespace keras_s2s
