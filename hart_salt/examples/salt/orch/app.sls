create the nodes:
  salt.runner:
    - name: hart.create_role
    - role: app
    - count: 3

configure them:
  salt.state:
    - tgt: roles:app
    - tgt_type: grain
    - highstate: True
    - require:
      - salt: create the nodes

register them:
  salt.function:
    - name: mine.update
    - tgt: roles:app
    - tgt_type: grain
    - require:
      - salt: configure them
