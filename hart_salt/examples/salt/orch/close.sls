{# Closed is what no node of hart's has, whatever the event said: a false one closes nothing that is in use. #}
{% set asked = salt.saltutil.runner('hart.node_of', kwarg={'ip': pillar['ip']}) %}
{% if asked.get('ip') and not asked['minion_id'] %}
let it through no longer:
  salt.function:
    - name: ipset.delete
    - tgt: firewall
    - kwarg:
        name: nodes
        entry: {{ asked['ip'] | tojson }}
{% endif %}
