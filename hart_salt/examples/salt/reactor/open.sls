let {{ data['minion_id'] }} through:
  local.ipset.add:
    - tgt: firewall
    - args:
      - name: nodes
      - entry: {{ data['public_ip'] or data['private_ip'] }}
