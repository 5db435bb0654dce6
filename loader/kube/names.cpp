#include "loader/kube/names.hpp"

#include <algorithm>

namespace sluice::loader::kube {

namespace {

bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool lower_or_digit(char c) { return lower(c) || digit(c); }
bool letter_or_digit(char c) { return lower_or_digit(c) || (c >= 'A' && c <= 'Z'); }

template <typename Predicate>
bool all(std::string_view text, Predicate predicate) {
  return std::all_of(text.begin(), text.end(), predicate);
}

}  // namespace

bool is_dns_label(std::string_view text) {
  return !text.empty() && text.size() <= 63 && lower_or_digit(text.front()) && lower_or_digit(text.back()) &&
         all(text, [](char c) { return lower_or_digit(c) || c == '-'; });
}

bool is_dns_subdomain(std::string_view text) {
  // Kubernetes bounds the whole, not each label of it.
  if (text.empty() || text.size() > 253) return false;
  while (true) {
    const auto label = text.substr(0, text.find('.'));
    if (label.empty() || !lower_or_digit(label.front()) || !lower_or_digit(label.back()) ||
        !all(label, [](char c) { return lower_or_digit(c) || c == '-'; })) {
      return false;
    }
    if (label.size() == text.size()) return true;
    text.remove_prefix(label.size() + 1);
  }
}

bool is_path_segment(std::string_view text) {
  return text.size() <= 253 && text != "." && text != ".." && text.find_first_of("/%") == std::string_view::npos;
}

bool is_port_name(std::string_view text) {
  return is_dns_label(text) && text.size() <= 15 && text.find("--") == std::string_view::npos &&
         std::any_of(text.begin(), text.end(), lower);
}

bool is_label_value(std::string_view text) {
  return text.empty() || (text.size() <= 63 && letter_or_digit(text.front()) && letter_or_digit(text.back()) &&
                          all(text, [](char c) { return letter_or_digit(c) || c == '-' || c == '_' || c == '.'; }));
}

bool is_label_key(std::string_view text) {
  if (const auto slash = text.find('/'); slash != std::string_view::npos) {
    if (!is_dns_subdomain(text.substr(0, slash))) return false;
    text.remove_prefix(slash + 1);
  }
  return !text.empty() && is_label_value(text);
}

}  // namespace sluice::loader::kube
