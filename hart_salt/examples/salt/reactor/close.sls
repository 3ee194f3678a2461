let {{ data['minion_id'] }} through no longer:
  local.ipset.delete:
    - tgt: firewall
    - args:
      - name: nodes
      - entry: {{ data['public_ip'] or data['private_ip'] }}
