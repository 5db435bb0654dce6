// Whatever the runtime says that is wrong: the error of the spec, and nothing changed.
#include <doctest/doctest.h>

#include <random>

#include "tests/cni/host.hpp"

using namespace sluice;        // NOLINT(google-build-using-namespace)
using namespace sluice::test;  // NOLINT(google-build-using-namespace)

namespace {

const std::string kCommands[] = {"ADD", "DEL", "CHECK", "GC", "STATUS"};

/// `text` n times.
std::string repeated(const std::string& text, std::size_t n) {
  std::string all;
  for (std::size_t i = 0; i < n; i++) all += text;
  return all;
}

/// A prevResult with these parts.
json previous(const json& parts) {
  json result{{"cniVersion", "1.1.0"}};
  result.merge_patch(parts);
  return {{"prevResult", result}};
}

json runtime(const json& keys) { return {{"runtimeConfig", keys}}; }

}  // namespace

TEST_CASE("all environment variables that are missing are named") {
  const Host host;
  const Container pod;
  const Variables whole{"ADD", pod.id(), pod.path(), "eth0", "", "/usr/lib/cni"};
  const struct {
    std::string command;
    std::vector<const char*> needs;
  } rows[] = {{"ADD", {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}},
              {"DEL", {"CNI_CONTAINERID", "CNI_IFNAME"}},
              {"CHECK", {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}},
              {"GC", {"CNI_PATH"}},
              {"", {"CNI_COMMAND"}}};
  for (const auto& row : rows) {
    CAPTURE(row.command);
    const auto none = call("sluice-cni", {.command = row.command}, host.config().dump());
    CHECK(none.error() == 4);
    for (const char* name : row.needs) {
      CAPTURE(name);
      CHECK(none.object.at("msg").get<std::string>().find(name) != std::string::npos);
    }
  }
  for (const std::string name : {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}) {
    CAPTURE(name);
    Variables one = whole;
    (name == "CNI_NETNS" ? one.netns : name == "CNI_IFNAME" ? one.ifname : one.container_id).clear();
    const auto answer = call("sluice-cni", one, host.config().dump());
    CHECK(answer.error() == 4);
    CHECK(answer.object.at("msg") == "ADD needs in the environment: " + name);
  }
  CHECK(host.remains() == "");
}

TEST_CASE("environment variables that cannot be are refused") {
  const Host host;
  const Container pod;
  const Variables whole{"ADD", pod.id(), pod.path(), "eth0", "", "/usr/lib/cni"};
  struct Row {
    std::string name;
    Variables variables;
    int code;
  };
  std::vector<Row> rows;
  const auto with = [&](const char* name, std::string Variables::*variable, const std::string& value, int code = 4) {
    rows.push_back({name, whole, code});
    rows.back().variables.*variable = value;
  };
  with("no such command", &Variables::command, "add");
  for (const std::string id : {"-a", ".a", "a/b", "a:b", "a b", "../../etc", "\xff", "a\n"}) {
    with("container id", &Variables::container_id, id);
  }
  with("container id too long", &Variables::container_id, std::string(201, 'c'));
  for (const std::string name :
       {"sixteen-letters-", ".", "..", "a/b", "a:b", "a b", "a\tb", "eth%d", "\xff\xfe", "\x7f"}) {
    with("interface", &Variables::ifname, name);
  }
  with("an interface that is there", &Variables::ifname, "lo");
  for (const std::string args : {"A", "=1", "A=1;B", ";;=", "IP=banana", "IP=10.88.0.9,10.88.0.10"}) {
    with("CNI_ARGS", &Variables::args, args);
  }
  with("no network namespace", &Variables::netns, "/run/no-such-namespace", 3);
  with("not a network namespace", &Variables::netns, "/etc/passwd");
  with("a folder", &Variables::netns, "/etc");
  with("another kind of namespace", &Variables::netns, "/proc/self/ns/mnt");
  with("the node's own", &Variables::netns, "/proc/self/ns/net");
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CAPTURE(json(row.variables.container_id + " " + row.variables.ifname)
                .dump(-1, ' ', true, json::error_handler_t::replace));
    const auto answer = call("sluice-cni", row.variables, host.config().dump());
    CAPTURE(answer.output);
    CHECK(answer.error() == row.code);
  }
  CHECK(host.remains() == "");
}

TEST_CASE("what standard input holds that is no configuration is refused") {
  const Host host;
  const Container pod;
  const struct {
    std::string name;
    std::string input;
    int code;
    const char* version = "1.1.0";
  } rows[] = {
      {"nothing", "", 6},
      {"blanks", " \n\t", 6},
      {"no JSON", "cniVersion: 1.1.0", 6},
      {"cut short", R"({"cniVersion": "1.1.0", "name": "po)", 6},
      {"an array", "[]", 6},
      {"a string", R"("1.1.0")", 6},
      {"null", "null", 6},
      {"two objects", "{} {}", 6},
      {"bytes that are no text", "{\"cniVersion\": \"1.1.0\", \"name\": \"\xff\"}", 6},
      {"a zero byte", std::string("{\0}", 3), 6},
      {"version is a number", R"({"cniVersion": 1.1, "name": "pods"})", 6},
      {"version is null", R"({"cniVersion": null, "name": "pods"})", 6},
      {"version is no version", R"({"cniVersion": "new", "name": "pods"})", 6, "new"},
      {"no version", R"({"name": "pods"})", 1},
      {"an unknown version", R"({"cniVersion": "1.1.1", "name": "pods"})", 1, "1.1.1"},
      {"no name", R"({"cniVersion": "1.1.0"})", 7},
      {"name is a number", R"({"cniVersion": "1.1.0", "name": 5})", 7},
      {"name is empty", R"({"cniVersion": "1.1.0", "name": ""})", 7},
      {"name is a path", R"({"cniVersion": "1.1.0", "name": "../pods"})", 7},
      {"name is too long", R"({"cniVersion": "1.1.0", "name": ")" + std::string(201, 'n') + "\"}", 7},
      {"deep arrays", R"({"cniVersion": "1.1.0", "name": "pods", "x": )" + repeated("[", 1 << 20), 6},
      {"deep arrays that end",
       R"({"cniVersion": "1.1.0", "name": )" + repeated("[", 1 << 18) + repeated("]", 1 << 18) + "}", 6},
      {"deep objects", repeated("{\"a\":", 1 << 18), 6},
      {"more than 16 MiB", std::string((16 << 20) + 1, ' '), 5},
  };
  for (const auto& row : rows) {
    for (const auto& command : kCommands) {
      CAPTURE(row.name);
      CAPTURE(command);
      const auto answer = call("sluice-cni", {command, pod.id(), pod.path(), "eth0", "", "/usr/lib/cni"}, row.input);
      CAPTURE(answer.output);
      CHECK(answer.error(row.version) == row.code);
    }
  }
  CHECK(host.remains() == "");
}

TEST_CASE("each key of the configuration that is malformed is named, and nothing is changed") {
  const Host host;
  const Container pod;
  struct Row {
    json extra;
    int code = 7;
  };
  const json anything[] = {5, true, "words", json::array({1}), json::array({json::array()}), json{{"a", 1}}, -1, 1.5};
  std::vector<std::pair<std::string, Row>> rows;
  // Every key with every type that is not its own.
  const struct {
    const char* key;
    bool (json::*is_right)() const;
  } keys[] = {{"root", &json::is_string},    {"ipam", &json::is_object},       {"mtu", &json::is_number_integer},
              {"attach", &json::is_string},  {"delivery", &json::is_string},   {"podCIDRs", &json::is_array},
              {"dns", &json::is_object},     {"prevResult", &json::is_object}, {"runtimeConfig", &json::is_object},
              {"ipMasq", &json::is_boolean}, {"args", &json::is_object}};
  for (const auto& key : keys) {
    for (const auto& value : anything) {
      if (!(value.*key.is_right)()) rows.push_back({key.key, {json{{key.key, value}}}});
    }
  }
  const std::pair<const char*, Row> more[] = {
      {"root", {json{{"root", "relative"}}}},
      {"ipam: type", {json{{"ipam", {{"type", 7}}}}}},
      {"ipam: type", {json{{"ipam", {{"type", "../../bin/sh"}}}}}},
      {"IPAM plugin no-such-plugin", {json{{"ipam", {{"type", "no-such-plugin"}}}}, 107}},
      {"mtu", {json{{"mtu", -1}}}},
      {"mtu", {json{{"mtu", 67}}}},
      {"mtu", {json{{"mtu", 65536}}}},
      {"mtu", {json{{"mtu", 18446744073709551615ULL}}}},
      {"mtu", {json{{"mtu", 1279}}}},  // of a pod with IPv6
      {"attach", {json{{"attach", "xdp"}}}},
      {"delivery", {json{{"delivery", "post"}}}},
      {"podCIDRs", {json{{"podCIDRs", {"10.88.0.0/33"}}}}},
      {"podCIDRs", {json{{"podCIDRs", {"banana"}}}}},
      {"podCIDRs", {json{{"podCIDRs", {""}}}}},
      {"dns: domain", {json{{"dns", {{"domain", 1}}}}}},
      {"dns: nameservers", {json{{"dns", {{"nameservers", "10.0.0.1"}}}}}},
      {"dns: search", {json{{"dns", {{"search", {1}}}}}}},
      {"dns: options", {json{{"dns", {{"options", {json::object()}}}}}}},
      {"ipMasq", {json{{"ipMasq", true}}, 2}},
      {"args: cni", {json{{"args", {{"cni", 1}}}}}},
      {"args: cni: ips", {json{{"args", {{"cni", {{"ips", {"banana"}}}}}}}}},
      {"runtimeConfig: mac", {runtime({{"mac", 5}})}},
      {"runtimeConfig: mac", {runtime({{"mac", "banana"}})}},
      {"runtimeConfig: mac", {runtime({{"mac", "01:00:5e:00:00:01"}})}},
      {"runtimeConfig: mac", {runtime({{"mac", "00:00:00:00:00:00"}})}},
      {"runtimeConfig: ips", {runtime({{"ips", "10.88.0.9"}})}},
      {"runtimeConfig: ips", {runtime({{"ips", {5}}})}},
      {"runtimeConfig: ips", {runtime({{"ips", {"10.88.0"}}})}},
      {"runtimeConfig: ips", {runtime({{"ips", {"10.88.0.9", "10.88.0.10"}}})}},
      {"10.99.0.9", {runtime({{"ips", {"10.99.0.9"}}}), 101}},
      {"10.88.0.0 ", {runtime({{"ips", {"10.88.0.0"}}}), 101}},
      {"10.88.0.255", {runtime({{"ips", {"10.88.0.255/24"}}}), 101}},
      {"runtimeConfig: portMappings", {runtime({{"portMappings", 5}})}},
      {"portMappings: each of them", {runtime({{"portMappings", {80}}})}},
      {"portMappings: containerPort", {runtime({{"portMappings", {{{"hostPort", 80}}}}})}},
      {"portMappings: hostPort", {runtime({{"portMappings", {{{"hostPort", 65536}, {"containerPort", 80}}}}})}},
      {"portMappings: protocol",
       {runtime({{"portMappings", {{{"hostPort", 80}, {"containerPort", 80}, {"protocol", "icmp"}}}}})}},
      {"portMappings: hostIP",
       {runtime({{"portMappings", {{{"hostPort", 80}, {"containerPort", 80}, {"hostIP", "here"}}}}})}},
      {"runtimeConfig: bandwidth", {runtime({{"bandwidth", 5}})}},
      {"bandwidth: ingressRate", {runtime({{"bandwidth", {{"ingressRate", "fast"}}}})}},
      {"bandwidth: ingressRate", {runtime({{"bandwidth", {{"ingressRate", -1}, {"ingressBurst", 8000}}}})}},
      {"bandwidth: ingressRate", {runtime({{"bandwidth", {{"ingressRate", 7}, {"ingressBurst", 8000}}}})}},
      {"bandwidth: ingressRate", {runtime({{"bandwidth", {{"ingressRate", 18446744073709551615ULL}}}})}},
      {"bandwidth: egressBurst", {runtime({{"bandwidth", {{"egressRate", 8000}}}})}},
      {"bandwidth: egressBurst", {runtime({{"bandwidth", {{"egressRate", 8000}, {"egressBurst", -8}}}})}},
      {"prevResult: interfaces", {previous({{"interfaces", 5}})}},
      {"prevResult: interfaces", {previous({{"interfaces", {5}}})}},
      {"prevResult: interfaces: name", {previous({{"interfaces", {{{"name", 5}}}}})}},
      {"prevResult: interfaces: sandbox", {previous({{"interfaces", {{{"name", "a"}, {"sandbox", 1}}}}})}},
      {"prevResult: ips", {previous({{"ips", json{{"address", "10.0.0.1"}}}})}},
      {"prevResult: ips: address", {previous({{"ips", {json::object()}}})}},
      {"prevResult: ips: address", {previous({{"ips", {{{"address", "10.0.0.1/77"}}}}})}},
      {"prevResult: ips: gateway", {previous({{"ips", {{{"address", "10.0.0.1/8"}, {"gateway", "x"}}}}})}},
      {"prevResult: ips: interface", {previous({{"ips", {{{"address", "10.0.0.1/8"}, {"interface", 0}}}}})}},
      {"prevResult: ips: interface", {previous({{"ips", {{{"address", "10.0.0.1/8"}, {"interface", -1}}}}})}},
      {"prevResult: ips: interface", {previous({{"ips", {{{"address", "10.0.0.1/8"}, {"interface", "0"}}}}})}},
      {"prevResult: routes", {previous({{"routes", "default"}})}},
      {"prevResult: routes: dst", {previous({{"routes", {{{"dst", "everywhere"}}}}})}},
      {"prevResult: routes: gw", {previous({{"routes", {{{"dst", "0.0.0.0/0"}, {"gw", 1}}}}})}},
      {"prevResult: dns", {previous({{"dns", "10.0.0.10"}})}},
  };
  rows.insert(rows.end(), std::begin(more), std::end(more));
  for (const auto& [key, row] : rows) {
    CAPTURE(row.extra.dump());
    const auto answer = host.call("ADD", pod, host.config(row.extra));
    CAPTURE(answer.output);
    CHECK(answer.error() == row.code);
    if (answer.error() != 0) CHECK(answer.object["msg"].get<std::string>().find(key) != std::string::npos);
    REQUIRE(host.remains() == "");
  }
  CHECK(must(pod.netlink().links()).size() == 1);
}

TEST_CASE("a key that is null is a key that is not there") {
  const Host host;
  const Container pod;
  for (const char* key :
       {"mtu", "attach", "delivery", "podCIDRs", "dns", "prevResult", "runtimeConfig", "ipMasq", "args", "ipam"}) {
    CAPTURE(key);
    json config = host.config();
    config[key] = nullptr;
    CHECK(host.call("ADD", pod, config).good());
    CHECK(host.call("DEL", pod, config).good());
  }
}

TEST_CASE("a node's configuration that is malformed fails ADD and STATUS and stops no DEL") {
  const Host host;
  const Container pod;
  REQUIRE(host.add(pod).good());
  e2e::run({"sh", "-c", "echo 'podCIDRs: banana' >" + host.root().config_file().string()});
  const Container other;
  CHECK(host.add(other).error() == 7);
  CHECK(host.call("STATUS", other, host.config()).error() == 7);
  CHECK(host.del(pod).good());
  CHECK(host.remains() == "");
}

TEST_CASE("DEL and GC look at nothing that only ADD needs") {
  const Host host;
  const Container pod;
  const json broken{{"mtu", "wide"}, {"podCIDRs", 5}, {"runtimeConfig", "x"}, {"prevResult", 7}, {"dns", 1}};
  REQUIRE(host.add(pod).good());
  CHECK(host.call("DEL", pod, host.config(broken)).output == "");
  REQUIRE(host.add(pod).good());
  json collect = host.config(broken);
  collect["cni.dev/valid-attachments"] = json::array();
  CHECK(host.call("GC", pod, collect).output == "");
  CHECK(host.remains() == "");
}

TEST_CASE("random and damaged input is always answered by an error object or done") {
  const Host host;
  const Container pod;
  const Container untouched;
  const auto kept = host.add(untouched);
  REQUIRE(kept.good());
  const auto before = host.remains();
  const auto whole = host.config({{"runtimeConfig", {{"ips", {"10.88.0.9"}}, {"mac", "02:00:00:00:00:07"}}},
                                  {"prevResult", kept.object},
                                  {"dns", {{"search", {"a"}}}},
                                  {"mtu", 1400},
                                  {"ipMasq", false}})
                         .dump();
  std::minstd_rand random(7);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  for (int round = 0; round < 600; round++) {
    std::string input = whole;
    switch (round % 4) {
      case 0:  // cut
        input.resize(below(input.size()));
        break;
      case 1:  // some bytes changed
        for (std::size_t n = 1 + below(8); n > 0; n--) input[below(input.size())] = static_cast<char>(random());
        break;
      case 2: {  // a piece doubled, taken out or moved
        const auto at = below(input.size());
        const auto piece = input.substr(at, below(40));
        if (below(2) == 0) input.erase(at, piece.size());
        input.insert(below(input.size()), piece);
        break;
      }
      default:  // noise
        input.resize(below(400));
        for (auto& byte : input) byte = static_cast<char>(random());
        break;
    }
    const auto& command = kCommands[below(std::size(kCommands))];
    CAPTURE(round);
    CAPTURE(command);
    // Where the root was damaged, what is done is done to another node: not to the machine's own.
    const bool same_root = input.find("\"root\":\"" + host.root().prefix().string() + "\"") != std::string::npos;
    if (!same_root && json::accept(input)) continue;
    const auto answer = call("sluice-cni", {command, pod.id(), pod.path(), "eth0", "", "/usr/lib/cni"}, input);
    CAPTURE(answer.output);
    if (answer.good()) {
      CHECK((answer.output.empty() || answer.object.is_object()));
      CHECK(host.del(pod).good());
    } else {
      const auto version = answer.object.is_object() ? answer.object.value("cniVersion", "") : "";
      CHECK(answer.error(version) != 0);
    }
  }
  CHECK(host.remains() == before);
}
