/// What Kubernetes lets names be. Private to loader/kube.
#pragma once

#include <string_view>

namespace sluice::loader::kube {

/// RFC 1123, 2.1, in lower case: "web-1", at most 63 characters.
bool is_dns_label(std::string_view text);
/// DNS labels with dots between, at most 253 characters.
bool is_dns_subdomain(std::string_view text);
/// A segment of a URL's path: what the name of every kind must be at least.
bool is_path_segment(std::string_view text);
/// A port's name (RFC 6335, 5.1, in lower case): at most 15 letters, digits and single hyphens, one letter among them.
bool is_port_name(std::string_view text);
/// "app" or "example.com/app".
bool is_label_key(std::string_view text);
/// At most 63 letters, digits, '-', '_' and '.', the first and last a letter or digit; may be empty.
bool is_label_value(std::string_view text);

}  // namespace sluice::loader::kube
