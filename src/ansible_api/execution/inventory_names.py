"""What inventory plugins call the files that configure them."""

from ansible_api.errors import JobError

# Each is checked against the plugin's own verify_file by a test; all other plugins take their own last name.
FILE_NAMES = {
    "cisco.aci.aci_inventory_system": "cisco_aci",
    "cisco.meraki.meraki": "cisco_meraki",
    "cloudscale_ch.cloud.inventory": "cloudscale",
    "community.dns.hetzner_dns_records": "hetzner_dns",
    "community.dns.hosttech_dns_records": "hosttech_dns",
    "community.docker.docker_containers": "docker",
    "microsoft.ad.ldap": "microsoft.ad.ldap",
    "ngine_io.cloudstack.instance": "cloudstack-instances",
}
# They read inventories and have no configuration of their own, or choose other plugins.
READERS = frozenset({"advanced_host_list", "auto", "host_list", "ini", "script", "toml", "yaml"})
BUILTIN = ("ansible.builtin.", "ansible.legacy.")


def config_file_name(plugin: str) -> str:
    """The name that the plugin insists on; JobError inventory_config_invalid for one that takes no configuration."""
    short = plugin
    for prefix in BUILTIN:
        short = short.removeprefix(prefix)
    if short in READERS:
        raise JobError(
            "inventory_config_invalid",
            f"{plugin} reads files and takes no configuration: use an inventory of type inline, git or url",
        )
    return f"{FILE_NAMES.get(plugin, plugin.rpartition('.')[2])}.yml"
