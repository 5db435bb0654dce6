#include "cni/result.hpp"

#include "cni/json.hpp"
#include "cni/request.hpp"

namespace sluice::cni {

namespace {

using nlohmann::json;

Result<OtherResult::Interface> parse_interface(const json& item) {
  return OtherResult::Interface{TRY(get_string(item, "name")).value_or(""), TRY(get_string(item, "mac")).value_or(""),
                                TRY(get_string(item, "sandbox")).value_or("")};
}

Result<std::optional<Address>> parse_address(const json& item, const char* key) {
  const auto text = TRY(get_string(item, key));
  if (!text || text->empty()) return std::optional<Address>();
  const auto address = Address::parse(*text);
  if (!address) return bad_config(key, address.error().message);
  return std::optional<Address>(*address);
}

Result<Prefix> parse_prefix(const json& item, const char* key) {
  const auto block = Prefix::parse(TRY(get_string(item, key)).value_or(""));
  if (!block) return bad_config(key, block.error().message);
  return *block;
}

Result<OtherResult::Ip> parse_ip(const json& item) {
  OtherResult::Ip ip{TRY(parse_prefix(item, "address")), TRY(parse_address(item, "gateway")), {}};
  const auto index = TRY(get_integer(item, "interface"));
  if (index && *index < 0) return bad_config("interface", "is negative");
  if (index) ip.interface = static_cast<std::size_t>(*index);
  return ip;
}

Result<ResultRoute> parse_route(const json& item) {
  return ResultRoute{TRY(parse_prefix(item, "dst")), TRY(parse_address(item, "gw"))};
}

/// What `parse` makes of each object of the list `key`.
template <typename T>
Result<std::vector<T>> parse_list(const json& result, const std::string& key, Result<T> (*parse)(const json&)) {
  std::vector<T> parsed;
  const auto list = TRY(get_array(result, key));
  if (!list) return parsed;
  for (const auto& item : *list) {
    if (!item.is_object()) return bad_config(key, "has something in it that is not an object");
    parsed.push_back(TRY(parse(item).context(key)));
  }
  return parsed;
}

Result<OtherResult> parse_parts(const json& result) {
  OtherResult parts;
  parts.interfaces = TRY(parse_list(result, "interfaces", parse_interface));
  parts.ips = TRY(parse_list(result, "ips", parse_ip));
  for (const auto& ip : parts.ips) {
    if (ip.interface && *ip.interface >= parts.interfaces.size()) {
      return bad_config("ips: interface", std::to_string(*ip.interface) + " is not an index into interfaces");
    }
  }
  parts.routes = TRY(parse_list(result, "routes", parse_route));
  parts.dns = TRY(get_object(result, "dns")).value_or(nullptr);
  return parts;
}

void drop_keys(json& result, const char* list, const std::vector<const char*>& keys) {
  if (!result.contains(list)) return;
  for (auto& item : result[list]) {
    for (const char* key : keys) item.erase(key);
  }
}

/// "4" or "6"; what is no address was the earlier plugin's to answer for.
void set_ip_version(json& ip) {
  const auto address = ip.contains("address") ? Prefix::parse(ip["address"].get<std::string>())
                                              : Result<Prefix>(refuse(EINVAL, "no address"));
  if (address) ip["version"] = address->address.is_v4() ? "4" : "6";
}

}  // namespace

Result<OtherResult> OtherResult::parse(const json& result, const std::string& what) {
  return parse_parts(result).context(what);
}

std::optional<std::size_t> OtherResult::find_in_sandbox(const std::string& name) const {
  for (std::size_t i = 0; i < interfaces.size(); i++) {
    if (interfaces[i].name == name && !interfaces[i].sandbox.empty()) return i;
  }
  return std::nullopt;
}

Answer::Answer(const json& previous) : result_(previous.is_object() ? previous : json::object()) {
  // An earlier plugin in Go writes null for an empty list.
  for (const char* list : {"interfaces", "ips", "routes"}) {
    if (result_.contains(list) && !result_[list].is_array()) result_.erase(list);
  }
}

std::size_t Answer::add_interface(const std::string& name, const Mac& mac, int mtu, const std::string& sandbox) {
  json interface = {{"name", name}, {"mac", mac.text()}, {"mtu", mtu}};
  if (!sandbox.empty()) interface["sandbox"] = sandbox;
  result_["interfaces"].push_back(std::move(interface));
  return result_["interfaces"].size() - 1;
}

void Answer::add_ip(const Prefix& address, const std::optional<Address>& gateway, std::size_t interface) {
  json ip = {{"address", address.text()}, {"interface", interface}};
  if (gateway) ip["gateway"] = gateway->text();
  result_["ips"].push_back(std::move(ip));
}

void Answer::add_route(const ResultRoute& route) {
  json item = {{"dst", route.destination.text()}};
  if (route.gateway) item["gw"] = route.gateway->text();
  result_["routes"].push_back(std::move(item));
}

void Answer::set_dns(const json& dns) {
  const bool there = result_.contains("dns") && !result_["dns"].empty();
  if (dns.is_object() && !there) result_["dns"] = dns;
}

json Answer::in_version(const std::string& version) const {
  json result = result_;
  result["cniVersion"] = version;
  if (!at_least(version, "1.1.0")) {
    drop_keys(result, "interfaces", {"mtu", "socketPath", "pciID"});
    drop_keys(result, "routes", {"mtu", "advmss", "priority", "table", "scope"});
  }
  if (!result.contains("ips")) return result;
  for (auto& ip : result["ips"]) {
    ip.erase("version");
    if (!at_least(version, "1.0.0")) set_ip_version(ip);
  }
  return result;
}

}  // namespace sluice::cni
