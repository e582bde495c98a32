// Splits texts into ids and joins ids to texts, with the files that keras_s2s.export.vocabularies
// writes. docs/how-to/ids.md describes the rules. Header-only; standard library only.
//
//   const auto source = keras_s2s::LoadTokenizer("app/assets", "source");
//   const auto target = keras_s2s::LoadTokenizer("app/assets", "target");
//   std::vector<int32_t> ids = source.Tokenize("hello");  // with eos at the end
//   std::string text = target.Detokenize(target_ids);
//
// Texts are UTF-8.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "json.h"
#include "pieces.h"
#include "special_ids.h"

namespace keras_s2s {

class Tokenizer {
 public:
  // `tokens` is the vocabulary, and `rules` its side of tokenizers.json.
  Tokenizer(std::vector<std::string> tokens, const Json& rules)
      : tokens_(std::move(tokens)), kind_(ReadKind(rules)) {
    for (size_t id = kNumSpecial; id < tokens_.size(); ++id) {
      ids_[tokens_[id]] = static_cast<int32_t>(id);
    }
    if (kind_ == Kind::kPieces) pieces_ = Pieces(tokens_, rules);
    if (kind_ == Kind::kDecomposed) {
      const Json& listed = rules.At("decompositions");
      for (size_t place = 0; place < listed.names.size(); ++place) {
        decompositions_[listed.names[place]] = listed.items[place].text;
      }
    }
  }

  // Returns the ids of a text, which end with eos.
  std::vector<int32_t> Tokenize(const std::string& text) const {
    std::vector<int32_t> ids;
    if (kind_ == Kind::kPieces) {
      ids = pieces_.Split(text);
    } else if (kind_ == Kind::kBytes) {
      for (const unsigned char byte : text) ids.push_back(byte + kNumSpecial);
    } else {
      for (const std::string& part : SplitText(text)) {
        const auto found = ids_.find(part);
        ids.push_back(found == ids_.end() ? kUnknown : found->second);
      }
    }
    ids.push_back(kEos);
    return ids;
  }

  // Returns the text of ids, up to the first eos. A model of bytes may return invalid UTF-8.
  std::string Detokenize(const std::vector<int32_t>& ids) const {
    std::string text;
    bool is_first = true, follows_feature = false;
    for (const int32_t id : ids) {
      if (id == kEos) break;
      const bool is_feature = kind_ == Kind::kFeatures && IsFeature(id);
      if (id != kPad && id != kBos) {
        const std::string part = Read(id);
        if (kind_ == Kind::kWords && !is_first) text += ' ';
        if (is_feature && !follows_feature) {
          text += ' ' + part.substr(1);
        } else if (kind_ == Kind::kPieces && is_first && pieces_.StripsSpace() && part[0] == ' ') {
          text += part.substr(1);
        } else {
          text += part;
        }
        is_first = false;
      }
      follows_feature = is_feature;
    }
    return text;
  }

 private:
  enum class Kind { kBytes, kCharacters, kDecomposed, kFeatures, kPieces, kWords };

  static Kind ReadKind(const Json& rules) {
    static const std::unordered_map<std::string, Kind> kKinds = {
        {"ByteTokenizer", Kind::kBytes},
        {"CharTokenizer", Kind::kCharacters},
        {"DecomposedCharTokenizer", Kind::kDecomposed},
        {"FeatureTokenizer", Kind::kFeatures},
        {"SentencePieceTokenizer", Kind::kPieces},
        {"WordTokenizer", Kind::kWords},
    };
    const std::string& name = rules.At("class").text;
    const auto found = kKinds.find(name);
    if (found == kKinds.end()) {
      throw std::runtime_error("texts of a " + name + " cannot be split here");
    }
    return found->second;
  }

  bool IsKnown(int32_t id) const {
    return id >= kNumSpecial && id < static_cast<int32_t>(tokens_.size());
  }

  bool IsFeature(int32_t id) const {
    return IsKnown(id) && tokens_[id].size() > 1 && tokens_[id][0] == ';';
  }

  // Returns the text of an id other than pad, bos and eos.
  std::string Read(int32_t id) const {
    if (!IsKnown(id)) return kUnknownText;
    if (kind_ == Kind::kBytes) return std::string(1, static_cast<char>(id - kNumSpecial));
    if (kind_ == Kind::kPieces) return ReplaceAll(tokens_[id], kSpaceSign, " ");
    return tokens_[id];
  }

  std::vector<std::string> SplitText(const std::string& text) const {
    std::vector<std::string> parts;
    if (kind_ == Kind::kCharacters) {
      AppendCharacters(text, &parts);
      return parts;
    }
    if (kind_ == Kind::kDecomposed) {
      std::vector<std::string> characters;
      AppendCharacters(text, &characters);
      for (const std::string& character : characters) AppendParts(character, &parts);
      return parts;
    }
    const std::vector<std::pair<size_t, size_t>> words = FindWords(text);
    if (kind_ == Kind::kWords) {
      for (const auto& [begin, end] : words) parts.push_back(text.substr(begin, end - begin));
    } else if (!words.empty()) {
      SplitFeatures(text, words, &parts);
    }
    return parts;
  }

  // Splits a text into characters and, if it has several words, the features in the last one.
  static void SplitFeatures(const std::string& text,
                            const std::vector<std::pair<size_t, size_t>>& words,
                            std::vector<std::string>* parts) {
    const bool has_features = words.size() > 1;
    const size_t begin = words.front().first;
    const size_t end = words[words.size() - (has_features ? 2 : 1)].second;
    AppendCharacters(text.substr(begin, end - begin), parts);
    if (!has_features) return;
    const auto [first, last] = words.back();
    for (size_t start = first; start < last;) {
      const size_t found = std::min(text.find(';', start), last);
      if (found > start) parts->push_back(';' + text.substr(start, found - start));
      start = found + 1;
    }
  }

  // A byte of the form 10xxxxxx continues a character.
  static void AppendCharacters(const std::string& text, std::vector<std::string>* parts) {
    for (size_t place = 0; place < text.size(); ++place) {
      if (place == 0 || (text[place] & 0xC0) != 0x80) parts->emplace_back();
      parts->back() += text[place];
    }
  }

  // Appends the parts of a character, or the character if none of its parts is known.
  void AppendParts(const std::string& character, std::vector<std::string>* parts) const {
    const auto found = decompositions_.find(character);
    std::vector<std::string> letters = SyllableLetters(character);
    if (found != decompositions_.end()) AppendCharacters(found->second, &letters);
    const bool is_known = std::any_of(letters.begin(), letters.end(), [this](const auto& letter) {
      return ids_.count(letter) > 0;
    });
    if (!is_known) letters = {character};
    parts->insert(parts->end(), letters.begin(), letters.end());
  }

  // Returns the two or three letters of a Korean syllable, and nothing for other characters.
  static std::vector<std::string> SyllableLetters(const std::string& character) {
    constexpr int kFirstSyllable = 0xAC00, kNumSyllables = 11172, kVowels = 21, kLasts = 28;
    if (character.size() != 3) return {};
    const auto byte = [&character](size_t place) {
      return static_cast<unsigned char>(character[place]);
    };
    const int syllable =
        (byte(0) - 0xE0) * 4096 + (byte(1) - 0x80) * 64 + (byte(2) - 0x80) - kFirstSyllable;
    if (syllable < 0 || syllable >= kNumSyllables) return {};
    std::vector<std::string> letters = {Letter(0x1100 + syllable / (kVowels * kLasts)),
                                        Letter(0x1161 + syllable / kLasts % kVowels)};
    if (syllable % kLasts > 0) letters.push_back(Letter(0x11A7 + syllable % kLasts));
    return letters;
  }

  // Returns a code point from U+0800 to U+FFFF in UTF-8.
  static std::string Letter(int point) {
    return {static_cast<char>(0xE0 + point / 4096), static_cast<char>(0x80 + point / 64 % 64),
            static_cast<char>(0x80 + point % 64)};
  }

  // Returns where each word begins and ends.
  static std::vector<std::pair<size_t, size_t>> FindWords(const std::string& text) {
    std::vector<std::pair<size_t, size_t>> words;
    bool is_inside = false;
    for (size_t place = 0; place < text.size();) {
      const size_t space = SpaceAt(text, place);
      if (space > 0) {
        is_inside = false;
      } else {
        if (!is_inside) words.emplace_back(place, place);
        words.back().second = place + 1;
        is_inside = true;
      }
      place += space > 0 ? space : 1;
    }
    return words;
  }

  // Returns the number of bytes of the white space that begins here, or 0.
  static size_t SpaceAt(const std::string& text, size_t place) {
    static const char* const kSpaces[] = {
        "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
        "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
        "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
    const unsigned char byte = static_cast<unsigned char>(text[place]);
    if ((byte >= 0x09 && byte <= 0x0D) || (byte >= 0x1C && byte <= 0x20)) return 1;
    for (const char* space : kSpaces) {
      const size_t size = std::strlen(space);
      if (text.compare(place, size, space) == 0) return size;
    }
    return 0;
  }

  std::vector<std::string> tokens_;
  Kind kind_;
  std::unordered_map<std::string, std::string> decompositions_;
  std::unordered_map<std::string, int32_t> ids_;
  Pieces pieces_;
};

// Creates the tokenizer of a side, "source" or "target", from the texts of two files.
inline Tokenizer ReadTokenizer(const std::string& vocabulary, const std::string& rules,
                               const std::string& side) {
  std::vector<std::string> tokens;
  for (const Json& token : JsonReader::Read(vocabulary).items) tokens.push_back(token.text);
  return Tokenizer(std::move(tokens), JsonReader::Read(rules).At(side));
}

// Creates the tokenizer of a side from a folder that keras_s2s.export.vocabularies wrote.
inline Tokenizer LoadTokenizer(const std::string& folder, const std::string& side) {
  const auto read = [&folder](const std::string& name) {
    std::ifstream file(folder + "/" + name, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + folder + "/" + name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  return ReadTokenizer(read(side + "_vocabulary.json"), read("tokenizers.json"), side);
}

}  // namespace keras_s2s
