// SPDX-License-Identifier: MIT
// One flat JSON object, written member by member.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace mezzo::bench {

class Json {
  public:
    Json &add(std::string_view name, std::string_view value) { return member(name, quoted(value)); }
    Json &add(std::string_view name, const char *value) { return add(name, std::string_view(value)); }
    Json &add(std::string_view name, bool value) { return member(name, value ? "true" : "false"); }
    Json &add(std::string_view name, int64_t value) { return member(name, std::to_string(value)); }
    Json &add(std::string_view name, int value) { return member(name, std::to_string(value)); }

    /// NaN and infinity, which JSON lacks, become null.
    Json &add(std::string_view name, double value) {
        char text[40] = "null";
        if (std::isfinite(value)) std::snprintf(text, sizeof text, "%.6g", value);
        return member(name, text);
    }

    /// A value that is JSON already.
    Json &add_json(std::string_view name, std::string_view json) { return member(name, json); }

    std::string text() const { return "{" + members_ + "}"; }

    static std::string array(const std::vector<std::string> &elements) {
        std::string text = "[";
        for (const std::string &element : elements) text += (text.size() > 1 ? ",\n" : "\n") + element;
        return text + "\n]";
    }

  private:
    Json &member(std::string_view name, std::string_view json) {
        if (!members_.empty()) members_ += ", ";
        members_ += quoted(name);
        members_ += ": ";
        members_ += json;
        return *this;
    }

    static std::string quoted(std::string_view text) {
        std::string result = "\"";
        for (const char c : text) {
            if (c == '"' || c == '\\') result += '\\';
            result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
        }
        return result + '"';
    }

    std::string members_;
};

} // namespace mezzo::bench
