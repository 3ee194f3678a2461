{# Add the address in hart's record, whatever the event said. Without a record, do nothing. #}
{% set node = salt.saltutil.runner('hart.node', kwarg={'minion_id': pillar['minion_id'], 'stage': 'running'}) %}
{% if node.get('minion_id') %}
let it through:
  salt.function:
    - name: ipset.add
    - tgt: firewall
    - kwarg:
        name: nodes
        entry: {{ (node['public_ip'] or node['private_ip']) | tojson }}
{% endif %}
