// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace mezzo::testing {

/// A variable of the environment, which is what it was before at the end of the scope.
class VariableScope {
  public:
    VariableScope(const char *name, const std::string &value) : name_(name) {
        if (const char *text = std::getenv(name)) previous_ = text;
        setenv(name, value.c_str(), 1);
    }
    ~VariableScope() {
        if (previous_) {
            setenv(name_, previous_->c_str(), 1);
        } else {
            unsetenv(name_);
        }
    }
    VariableScope(const VariableScope &) = delete;
    VariableScope &operator=(const VariableScope &) = delete;

  private:
    const char *name_;
    std::optional<std::string> previous_;
};

} // namespace mezzo::testing
